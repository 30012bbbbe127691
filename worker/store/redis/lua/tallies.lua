-- How many jobs of a campaign came to what: a hash per campaign and shop, and one that names a shop's campaigns. Both
-- are kept for as long as the ledger knows its jobs, counted from when a campaign last had something new.

-- As in worker/store/counting.py.
local MOST_COUNTERS = 200
local MOST_CAMPAIGNS = 1000
local OTHER_CAMPAIGNS = '_other'
-- Campaigns that are looked at for one that is over, so that a new name costs no more than that.
local LOOKED_AT = 10

local function add(prefix, campaign, counter, number, keep_until, full)
  local key = prefix .. 'k:' .. campaign
  if full then
    counter = string.gsub(counter, '^rejected:.*', 'rejected:other')
  end
  if redis.call('HINCRBY', key, counter, number) == number or counter == 'published' then
    redis.call('HINCRBY', prefix .. 'k', campaign, 1)
    redis.call('PEXPIREAT', key, keep_until)
    redis.call('PEXPIREAT', prefix .. 'k', keep_until)
  end
end

-- Whether all of a campaign's jobs have ended; also where they were published uncounted.
local function is_over(counters)
  local left = 0
  for i = 1, #counters, 2 do
    local number = tonumber(counters[i + 1])
    if counters[i] == 'published' then
      left = left + number
    elseif counters[i] ~= 'removed' then
      left = left - number
    end
  end
  return left <= 0
end

-- Adds campaigns that are over to those that have no name of their own; says whether there was one.
local function make_room(prefix, keep_until)
  -- A user with the rights of an earlier version may not ask this. The new campaign then has no name of its own.
  local names = redis.pcall('HRANDFIELD', prefix .. 'k', LOOKED_AT)
  local made = false
  for _, name in ipairs(names.err and {} or names) do
    local counters = name ~= OTHER_CAMPAIGNS and redis.call('HGETALL', prefix .. 'k:' .. name)
    if counters and is_over(counters) then
      for i = 1, #counters, 2 do
        local full = redis.call('HLEN', prefix .. 'k:' .. OTHER_CAMPAIGNS) >= MOST_COUNTERS
        add(prefix, OTHER_CAMPAIGNS, counters[i], tonumber(counters[i + 1]), keep_until, full)
      end
      redis.call('DEL', prefix .. 'k:' .. name)
      redis.call('HDEL', prefix .. 'k', name)
      made = true
    end
  end
  return made
end

local function tally(prefix, campaign, counter, number, keep_until)
  local counters = redis.call('HLEN', prefix .. 'k:' .. campaign)
  if counters == 0 and redis.call('HLEN', prefix .. 'k') >= MOST_CAMPAIGNS and not make_room(prefix, keep_until) then
    campaign = OTHER_CAMPAIGNS
    counters = redis.call('HLEN', prefix .. 'k:' .. campaign)
  end
  add(prefix, campaign, counter, number, keep_until, counters >= MOST_COUNTERS)
end
