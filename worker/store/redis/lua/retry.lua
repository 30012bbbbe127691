-- KEYS: record. ARGV: prefix, period length (us), id, epoch, keep (us), wait (us), 1 if the call may have been carried
--       out, 1 if it counts as an attempt, elapsed (us).
-- Returns 1 if the repeat is recorded, 0 if another epoch holds the job: also when it is sent a second time.
local now = now_us()
local record = redis.call('GET', KEYS[1])
if not holds(record, ARGV[4], ARGV[1], math.floor(now / tonumber(ARGV[2])), KEYS[1], ARGV[3]) then
  return 0
end
-- Where the store has lost the record, this counts as the first attempt.
local attempts, takeovers, unknowns, deadline = 1, 0, 0, UNKNOWN_DEADLINE
if record then
  local _
  _, attempts, takeovers, unknowns = unpack_started(record)
  deadline = deadline_of(record)
end
-- The wait comes as a duration, since the caller's clock is not the server's.
local not_before = now + tonumber(ARGV[6])
attempts, unknowns = attempts - 1 + tonumber(ARGV[8]), unknowns + tonumber(ARGV[7])
replace(KEYS[1], waiting(ARGV[4], attempts, takeovers, unknowns, not_before, tonumber(ARGV[9]), deadline),
        not_before + tonumber(ARGV[5]))
return 1
