-- KEYS: controls, lanes. ARGV: '1' if RabbitMQ was searched and has no others, then lanes whose queues exist, as
--       '<shop>.urgent' or '<shop>.held'.
-- The lanes have no expiry: a job may lie in one for as long as it likes.
local now = now_us()
local all, lanes = load_lanes(KEYS[2])
local listed, changed = {}, false
for _, lane in ipairs(lanes) do
  listed[lane] = true
end
for i = 2, #ARGV do
  if not listed[ARGV[i]] then
    listed[ARGV[i]], changed = true, true
    lanes[#lanes + 1] = ARGV[i]
  end
end
if ARGV[1] == '1' and all < ALL_LANES then
  all, changed = ALL_LANES, true
end
if changed then
  redis.call('SET', KEYS[2], cmsgpack.pack(all, lanes))
  local version, pauses, cancelled, limits, latest = load_controls(KEYS[1])
  if not damaged[1] then
    save_controls(KEYS[1], now, math.max(now, version + 1), pauses, cancelled, limits, latest, nil)
  end
end
