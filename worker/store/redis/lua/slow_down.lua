-- KEYS: shop. ARGV: full interval (us), how long ago the refused call was granted (us), resets at (us).
-- How far a pace falls, and why, is in worker/limits/adaptive.py.
local FALL, BELOW, SLOWEST = 5 / 4, 51 / 50, 100

local now, full = now_us(), tonumber(ARGV[1])
local s = unpack_scope(redis.call('GET', KEYS[1]))
if now - tonumber(ARGV[2]) > s.slowed_at then
  local interval = pace(s, now, full)
  local slower = interval * FALL
  if s.slow > 0 and s.since > 1 then
    local measured = (now - s.slowed_at) / (s.since - 1)
    slower = math.min(math.max(interval, measured) * BELOW, slower)
  end
  s.slow, s.slowed_at, s.since = math.min(math.ceil(slower), full * SLOWEST), now, 0
  save_scope(KEYS[1], s, needed_until(s, tonumber(ARGV[3])))
end
