-- KEYS: reader (a customer of a shop). ARGV: interval (us), burst, per day, resets at (us).
-- Returns the time, and 0 if a token is taken, else when there will be one.
local now, interval, burst = now_us(), tonumber(ARGV[1]), tonumber(ARGV[2])
local per_day, resets_at = tonumber(ARGV[3]), tonumber(ARGV[4])
local s = unpack_scope(redis.call('GET', KEYS[1]))
local day = quota_day(s, now, resets_at)
if s.day == day and s.calls >= per_day then
  return { now, (day + 1) * DAY + resets_at }
end
local due = earliest(s.tat, now, interval, burst)
if due > now then
  return { now, due }
end
take(s, now, interval, day)
save_scope(KEYS[1], s, needed_until(s, resets_at))
return { now, 0 }
