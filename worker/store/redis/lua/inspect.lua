-- KEYS: shop, note, campaign. ARGV: full interval (us), resets at (us), 1 if the pace adapts.
-- Returns the time, the interval in force, the end of a block (0 for none), today's calls, those of them that were
-- urgent, those of the campaign while it has a pace, and the closure that a worker has noted last: until when, reason,
-- code.
local now, full = now_us(), tonumber(ARGV[1])
local s = unpack_scope(redis.call('GET', KEYS[1]))
local interval = ARGV[3] == '1' and pace(s, now, full) or full
local day = quota_day(s, now, tonumber(ARGV[2]))
local calls, urgent = 0, 0
if s.day == day then
  calls, urgent = s.calls, s.urgent_calls
end
local campaign = unpack_scope(redis.call('GET', KEYS[3]))
local reply = { now, interval, s.blocked_until > now and s.blocked_until or 0, calls, urgent,
                campaign.day == day and campaign.calls or 0 }
local note = redis.call('GET', KEYS[2])
if note then
  reply[7], reply[8], reply[9] = cmsgpack.unpack(note)
end
return reply
