-- KEYS: as of watch.lua. ARGV: shops that have lanes. Workers hear of those that are new; it is nobody's order.
-- Returns what control.lua returns.
local now = now_us()
local version, pauses, cancelled, limits, latest = load_controls(KEYS[1])
cancelled, limits = lasting(cancelled, 3, now), lasting(limits, 5, now)
local campaigns, lanes = load_campaigns(KEYS[4])
local known, news = {}, false
for _, shop in ipairs(lanes) do
  known[shop] = true
end
for _, shop in ipairs(ARGV) do
  if not known[shop] then
    known[shop], news = true, true
    lanes[#lanes + 1] = shop
  end
end
if news then
  version = math.max(now, version + 1)
  save_campaigns(KEYS[4], now, campaigns, lanes)
  save_controls(KEYS[1], now, version, pauses, cancelled, limits, latest, nil)
end
return { now, version, pauses, cancelled, limits, latest, { load_lists(KEYS[3]) }, { campaigns, lanes } }
