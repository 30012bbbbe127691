-- Finished jobs: sets of 64-bit integers, small enough for Redis to keep each as a sorted array (up to 512): 8 bytes a
-- job and a binary search. A level of sets is used once those before it are full, with PER_SET in each on average; it
-- has 16 times the sets of the last, so that new ones never weigh much and few levels have to be searched.
--
-- Jobs that ended without a call are no part of these: each such outcome has a family of sets of its own. A copy that
-- is to be called does not look there, so that it is called.

local PER_SET = 400
local PERIODS = 3

-- Where a family keeps its sets, and how many jobs are in those of each period. What isn't UNCALLED is DONE.
local DONE = { sets = 'd:', counts = 'n' }
local UNCALLED = {
  expired = { sets = 'expired:', counts = 'expired' },
  cancelled = { sets = 'cancelled:', counts = 'cancelled' },
}

local function level_of(n)
  local level, capacity = 0, PER_SET
  while n >= capacity do
    level = level + 1
    capacity = capacity + PER_SET * 16 ^ level
  end
  return level
end

-- The sets of level n are named by the first n of the 24 hex digits in the job's record key.
local function set_key(prefix, family, period, level, job_key)
  return prefix .. family.sets .. int(period) .. ':' .. string.sub(job_key, -24, level - 25)
end

-- How many jobs a family has of the next period (the clock may step back over its begin), this one and those before.
local function counts_of(prefix, family, period)
  return redis.call('HMGET', prefix .. family.counts, period + 1, period, period - 1, period - 2)
end

-- Whether the job is in the family's sets; `counts` are `counts_of` it.
local function is_in(prefix, family, period, counts, job_key, id)
  for number = 1, PERIODS + 1 do
    local count = counts[number]
    if count then
      for level = level_of(count - 1), 0, -1 do
        if redis.call('SISMEMBER', set_key(prefix, family, period + 2 - number, level, job_key), id) == 1 then
          return true
        end
      end
    end
  end
  return false
end

local function is_done(prefix, period, job_key, id)
  return is_in(prefix, DONE, period, counts_of(prefix, DONE, period), job_key, id)
end

-- How the job ended without a call, nil if it did not. Only a copy that is about to end so pays for the look.
local function uncalled_as(prefix, period, job_key, id)
  for outcome, family in pairs(UNCALLED) do
    if is_in(prefix, family, period, counts_of(prefix, family, period), job_key, id) then
      return outcome
    end
  end
  return nil
end

-- Adds a job that ended just now.
local function remember(prefix, family, period, period_us, job_key, id)
  local forget_at = milliseconds((period + PERIODS) * period_us)
  local counts = prefix .. family.counts
  -- The count of a period that is over goes first, since that needs no memory: once a script has written something,
  -- Redis lets it write the rest also when the memory is full.
  redis.call('HDEL', counts, period - PERIODS)
  local count = redis.call('HINCRBY', counts, period, 1)
  if count == 1 then
    redis.call('PEXPIREAT', counts, forget_at)
  end
  local key = set_key(prefix, family, period, level_of(count - 1), job_key)
  redis.call('SADD', key, id)
  if redis.call('SCARD', key) == 1 then
    redis.call('PEXPIREAT', key, forget_at)
  end
end
