-- KEYS: record, shop, customer, and its campaign where that has a pace. ARGV: epoch, '1' if the call was made, keep (us),
--       shop interval, customer interval, '1' if the job has a customer (these three for an older version's record, which
--       lacks them), '1' if none of the earlier calls was carried out, '1' if the job is urgent.
-- Does nothing where another epoch holds the job, so a second release refunds nothing.
local now = now_us()
local record = redis.call('GET', KEYS[1])
if not record or kind_of(record) ~= 'S' or epoch_of(record) ~= ARGV[1] then
  return
end
local _, attempts, takeovers, unknowns, day, shop_base, customer_base, elapsed = unpack_started(record)
if ARGV[7] == '1' then
  unknowns = 0
end
undo_attempt(KEYS[1], ARGV[1], attempts, takeovers, unknowns, elapsed, deadline_of(record), now + tonumber(ARGV[3]))

-- A scope that has expired meanwhile has nothing to put back, and must not come to life without an expiry.
local function refund_at(key, base, interval, urgent)
  local packed = redis.call('GET', key)
  if packed then
    local s = unpack_scope(packed)
    refund(s, base, interval, day)
    if urgent and s.day == day then
      s.urgent_calls = math.max(0, s.urgent_calls - 1)
    end
    save_scope(key, s, s.kept)
  end
end
if ARGV[2] ~= '1' then
  local s_interval, c_interval = unpack_charged(record, tonumber(ARGV[4]), ARGV[6] == '1' and tonumber(ARGV[5]) or 0)
  refund_at(KEYS[2], shop_base, s_interval, ARGV[8] == '1')
  if c_interval > 0 then
    refund_at(KEYS[3], customer_base, c_interval)
  end
  if KEYS[4] then
    -- The call of the day alone: the place in its line has gone by.
    refund_at(KEYS[4], nil, 0)
  end
end
