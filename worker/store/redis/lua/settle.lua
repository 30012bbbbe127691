-- KEYS: record; of a campaign with a brake its last results. ARGV: prefix, period length (us), id, epoch, campaign, and
--       what the job is counted under in it; with a brake also its share (per cent), window, the number under which it
--       was armed, and the result's code ('' for a good one).
-- Returns nothing, or what trips the brake: how many results of the window are bad, the leading code, how many have it.
-- Where this epoch's answer is not what is recorded, nothing is erased: a second settling counts no called job twice.
local prefix, period_us, counter = ARGV[1], tonumber(ARGV[2]), ARGV[6]
local period = math.floor(now_us() / period_us)
local family = UNCALLED[counter == 'cancelled:suppressed' and 'cancelled' or counter] or DONE
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
local keep_until = (period + PERIODS) * period_us
tally(prefix, ARGV[5], counter, 1, milliseconds(keep_until))
if KEYS[2] and recorded then
  return count_result(KEYS[2], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10], keep_until)
end
