-- KEYS: record, shop. ARGV: prefix, period length, id, epoch, keep (us), wait (us).
-- Returns 1 if the repeat is recorded, 0 if another epoch holds the job.
local now = now_us()
local record = redis.call('GET', KEYS[1])
local attempts, takeovers = 1, 0
if record then
  if string.sub(record, 1, 1) ~= 'S' then
    return 0
  end
  local epoch, lease
  epoch, lease, attempts, takeovers = cmsgpack.unpack(string.sub(record, 2))
  if epoch ~= tonumber(ARGV[4]) then
    return 0
  end
else
  local shop = load_scope(KEYS[2])
  roll_period(shop, math.floor(now / tonumber(ARGV[2])))
  if is_done(ARGV[1], shop, ARGV[3]) then
    return 0
  end
end
redis.call('SET', KEYS[1], pack_waiting(attempts, takeovers, now + tonumber(ARGV[6])))
expire_at(KEYS[1], now + tonumber(ARGV[5]))
return 1
