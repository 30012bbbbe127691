-- KEYS: record. ARGV: prefix, period length (us), id, epoch, campaign, and what the job is counted under in it.
-- Where this epoch's answer is not what is recorded, nothing is erased: a second settling counts no called job twice.
local prefix, period_us, counter = ARGV[1], tonumber(ARGV[2]), ARGV[6]
local period = math.floor(now_us() / period_us)
local family = UNCALLED[counter] or DONE
local record = redis.call('GET', KEYS[1])
local recorded = record and kind_of(record) == 'A' and epoch_of(record) == ARGV[4]
if recorded then
  -- The record goes last: should anything fail, the job is still known.
  remember(prefix, family, period, period_us, KEYS[1], ARGV[3])
  redis.call('DEL', KEYS[1])
elseif family == DONE then
  return
end
-- A copy that ended without a call, while another one was granted its call, is counted all the same: its result is out.
tally(prefix, ARGV[5], counter, 1, milliseconds((period + PERIODS) * period_us))
