-- How many jobs of a campaign came to what: a hash per campaign and shop, and one that names a shop's campaigns. Both
-- are kept for as long as the ledger knows its jobs, counted from when a campaign last had something new.

-- As MOST_COUNTERS in worker/store/base.py.
local MOST_COUNTERS = 200

local function tally(prefix, campaign, counter, number, keep_until)
  local key = prefix .. 'k:' .. campaign
  if redis.call('HLEN', key) >= MOST_COUNTERS then
    counter = string.gsub(counter, ':.*', ':other')
  end
  if redis.call('HINCRBY', key, counter, number) == number or counter == 'published' then
    redis.call('HINCRBY', prefix .. 'k', campaign, 1)
    redis.call('PEXPIREAT', key, keep_until)
    redis.call('PEXPIREAT', prefix .. 'k', keep_until)
  end
end
