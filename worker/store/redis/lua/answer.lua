-- KEYS: record. ARGV: prefix, period length (us), id, epoch, keep (us), result.
-- Returns 1 if the result is recorded, 0 if another epoch holds the job: also when it is sent a second time.
local now = now_us()
local record = redis.call('GET', KEYS[1])
if not holds(record, ARGV[4], ARGV[1], math.floor(now / tonumber(ARGV[2])), KEYS[1], ARGV[3]) then
  return 0
end
replace(KEYS[1], 'A' .. ARGV[4] .. ARGV[6], now + tonumber(ARGV[5]))
return 1
