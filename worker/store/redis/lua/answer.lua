-- KEYS: record. ARGV: prefix, period length (us), id, epoch, keep (us), result.
-- Returns 1 if the result is recorded, 0 if another epoch holds the job.
local now = now_us()
local record = redis.call('GET', KEYS[1])
local holds
if record then
  holds = kind_of(record) == 'S' and epoch_of(record) == ARGV[4]
else
  -- The store has lost its data, or the job is finished.
  local period = math.floor(now / tonumber(ARGV[2]))
  holds = not is_done(ARGV[1], period, KEYS[1], ARGV[3])
end
if not holds then
  return 0
end
replace(KEYS[1], 'A' .. ARGV[4] .. ARGV[6], now + tonumber(ARGV[5]))
return 1
