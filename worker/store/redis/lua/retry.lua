-- KEYS: record. ARGV: prefix, period length (us), id, epoch, keep (us), wait (us), 1 if the call may have been carried
--       out, 1 if it counts as an attempt, elapsed (us).
-- Returns 1 if the repeat is recorded, 0 if another epoch holds the job.
local now = now_us()
local record = redis.call('GET', KEYS[1])
local attempts, takeovers, unknowns, deadline, holds = 1, 0, 0, UNKNOWN_DEADLINE, nil
if record then
  holds = kind_of(record) == 'S' and epoch_of(record) == ARGV[4]
  if holds then
    local _
    _, attempts, takeovers, unknowns = unpack_started(record)
    deadline = deadline_of(record)
  end
else
  -- The store has lost its data, or the job is finished.
  local period = math.floor(now / tonumber(ARGV[2]))
  holds = not is_done(ARGV[1], period, KEYS[1], ARGV[3])
end
if not holds then
  return 0
end
local not_before = now + tonumber(ARGV[6])
attempts, unknowns = attempts - 1 + tonumber(ARGV[8]), unknowns + tonumber(ARGV[7])
replace(KEYS[1], waiting(ARGV[4], attempts, takeovers, unknowns, not_before, tonumber(ARGV[9]), deadline),
        not_before + tonumber(ARGV[5]))
return 1
