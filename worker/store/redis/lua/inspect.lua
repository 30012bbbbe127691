-- KEYS: shop, note. ARGV: full interval (us), resets at (us), 1 if the pace adapts.
-- Returns the time, the interval in force, the end of a block (0 for none), today's calls, and the closure that a
-- worker has noted last: until when, reason, code.
local now, full = now_us(), tonumber(ARGV[1])
local s = unpack_scope(redis.call('GET', KEYS[1]))
local interval = ARGV[3] == '1' and pace(s, now, full) or full
local calls = s.day == quota_day(s, now, tonumber(ARGV[2])) and s.calls or 0
local reply = { now, interval, s.blocked_until > now and s.blocked_until or 0, calls }
local note = redis.call('GET', KEYS[2])
if note then
  reply[5], reply[6], reply[7] = cmsgpack.unpack(note)
end
return reply
