-- KEYS: record. ARGV: prefix, period length (us), id, epoch, campaign, and what the job is counted under in it.
-- Returns 1 if the job is done now, 0 if it is not this epoch's to end.
local record = redis.call('GET', KEYS[1])
if not record or kind_of(record) ~= 'A' or epoch_of(record) ~= ARGV[4] then
  return 0
end
local prefix, period_us = ARGV[1], tonumber(ARGV[2])
local period = math.floor(now_us() / period_us)
local forget_at = milliseconds((period + PERIODS) * period_us)
-- The count of a period that is over. It comes first since it needs no memory: after it the rest is written also where
-- there is none left. The record goes last: should anything fail, the job is still known.
redis.call('HDEL', prefix .. 'n', period - PERIODS)
local count = redis.call('HINCRBY', prefix .. 'n', period, 1)
if count == 1 then
  redis.call('PEXPIREAT', prefix .. 'n', forget_at)
end
local key = done_key(prefix, period, level_of(count - 1), KEYS[1])
redis.call('SADD', key, ARGV[3])
if redis.call('SCARD', key) == 1 then
  redis.call('PEXPIREAT', key, forget_at)
end
redis.call('DEL', KEYS[1])
tally(prefix, ARGV[5], ARGV[6], 1, forget_at)
return 1
