-- KEYS: record, shop. ARGV: prefix, period length, id, epoch, keep (us), result.
-- Returns 1 if the result is recorded, 0 if another epoch holds the job.
local now = now_us()
local record = redis.call('GET', KEYS[1])
if record then
  if string.match(record, '^A(%d+) ') == ARGV[4] then
    return 1 -- said before, and the reply was lost
  end
  if string.sub(record, 1, 1) ~= 'S' or cmsgpack.unpack(string.sub(record, 2)) ~= tonumber(ARGV[4]) then
    return 0
  end
else
  -- The store has lost its data, or the job is finished by another.
  local shop = load_scope(KEYS[2])
  roll_period(shop, math.floor(now / tonumber(ARGV[2])))
  if is_done(ARGV[1], shop, ARGV[3]) then
    return 0
  end
end
redis.call('SET', KEYS[1], 'A' .. ARGV[4] .. ' ' .. ARGV[6])
expire_at(KEYS[1], now + tonumber(ARGV[5]))
return 1
