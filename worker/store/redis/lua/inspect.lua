-- KEYS: shop, note. ARGV: full interval (us), resets at (us), 1 if the pace adapts.
-- Returns the time, the interval in force, until when the shop is blocked (0: it isn't), today's calls, and what a
-- worker has noted of its closure: until when, reason, code.
local now, full = now_us(), tonumber(ARGV[1])
local s = unpack_scope(redis.call('GET', KEYS[1]))
local interval = ARGV[3] == '1' and pace(s, now, full) or full
local calls = s.day == quota_day(s, now, tonumber(ARGV[2])) and s.calls or 0
local reply = { now, interval, s.blocked > now and s.blocked or 0, calls }
local note = redis.call('GET', KEYS[2])
if note then
  reply[5], reply[6], reply[7] = cmsgpack.unpack(note)
end
return reply
