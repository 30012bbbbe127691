-- KEYS: shop. ARGV: full interval (us), how long ago the refused call was granted (us), resets at (us).
-- worker/limits/adaptive.py says how far a pace falls, and why.
local FALL, BELOW, SLOWEST = 5 / 4, 51 / 50, 100

local function fall(s, now, full)
  local interval = pace(s, now, full)
  local slower = interval * FALL
  -- The refused call itself was granted too.
  if s.slow > 0 and s.since > 1 then
    local measured = (now - s.slowed_at) / (s.since - 1)
    slower = math.min(math.max(interval, measured) * BELOW, slower)
  end
  s.slow, s.slowed_at, s.since = math.min(math.ceil(slower), full * SLOWEST), now, 0
end

local now = now_us()
local s = unpack_scope(redis.call('GET', KEYS[1]))
-- Of the calls that were granted before the last fall, the first has said it for all.
if now - tonumber(ARGV[2]) > s.slowed_at then
  fall(s, now, tonumber(ARGV[1]))
  save_scope(KEYS[1], s, needed_until(s, tonumber(ARGV[3])))
end
