-- KEYS: shop. ARGV: full interval (us), how long ago the refused call was granted (us), resets at (us).
-- Returns the interval in force. How far a pace falls, and why, is in worker/pace.py.
local SOON, SLOWEST = 10000000, 100

local now, full = now_us(), tonumber(ARGV[1])
local s = unpack_scope(redis.call('GET', KEYS[1]))
if now - tonumber(ARGV[2]) > s.slowed_at then
  local factor = (s.slow == 0 or now < math.max(s.slowed_at, s.blocked) + SOON) and 5 / 4 or 20 / 19
  s.slow = math.min(math.ceil(pace(s, now, full) * factor), full * SLOWEST)
  s.slowed_at = now
  save_scope(KEYS[1], s, needed_until(s, tonumber(ARGV[3])))
end
return pace(s, now, full)
