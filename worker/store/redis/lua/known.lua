-- KEYS: records. ARGV: prefix, period length (us), then each job's id.
-- Returns for each job: 0 if the ledger doesn't know it, 1 answered, 2 under way, 3 expired, 4 cancelled.
local FIRST = 2
local prefix, period = ARGV[1], math.floor(now_us() / tonumber(ARGV[2]))
local UNCALLED_AS = { expired = 3, cancelled = 4 }
local counts = {}
for name, family in pairs(UNCALLED) do
  counts[name] = counts_of(prefix, family, period)
end
local finished = counts_of(prefix, DONE, period)

local function known(job_key, id)
  local record = redis.call('GET', job_key)
  if record then
    local outcome = kind_of(record) == 'A' and uncalled_outcome(record)
    return outcome and UNCALLED_AS[outcome] or kind_of(record) == 'A' and 1 or 2
  end
  if is_in(prefix, DONE, period, finished, job_key, id) then
    return 1
  end
  for name, family in pairs(UNCALLED) do
    if is_in(prefix, family, period, counts[name], job_key, id) then
      return UNCALLED_AS[name]
    end
  end
  return 0
end

local reply = {}
for i = 1, #KEYS do
  reply[i] = known(KEYS[i], ARGV[FIRST + i])
end
return reply
