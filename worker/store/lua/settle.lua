-- KEYS: record, shop. ARGV: prefix, period length, id, epoch, keep (us), outcome's number.
local now = now_us()
local record = redis.call('GET', KEYS[1])
if not record or string.match(record, '^A(%d+) ') ~= ARGV[4] then
  return 0
end
redis.call('DEL', KEYS[1])
local period_us = tonumber(ARGV[2])
local shop = load_scope(KEYS[2])
roll_period(shop, math.floor(now / period_us))
local key = done_key(ARGV[1], shop.period, level_of(shop.n0), ARGV[3])
if redis.call('HSET', key, ARGV[3], ARGV[6]) == 1 then
  shop.n0 = shop.n0 + 1
  if redis.call('HLEN', key) == 1 then
    expire_at(key, (shop.period + 3) * period_us)
  end
  save_scope(KEYS[2], shop, now + math.max(tonumber(ARGV[5]), 3 * period_us))
end
return 1
