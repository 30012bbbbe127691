-- Finished jobs: sets of 64-bit integers, small enough for Redis to keep each as a sorted array (up to 512): 8 bytes a
-- job and a binary search. A level of sets is used once those before it are full, with PER_SET in each on average; it
-- has 16 times the sets of the last, so that new ones never weigh much and few levels have to be searched.

local PER_SET = 400
local PERIODS = 3

local function level_of(n)
  local level, capacity = 0, PER_SET
  while n >= capacity do
    level = level + 1
    capacity = capacity + PER_SET * 16 ^ level
  end
  return level
end

-- A level's sets are told apart by as many hex digits of the job's record key, from the first of its 24 on.
local function done_key(prefix, period, level, job_key)
  return prefix .. 'd:' .. int(period) .. ':' .. string.sub(job_key, -24, level - 25)
end

-- How many jobs were finished in the next period (the clock may step back over its begin), this one and those before.
local function finished_counts(prefix, period)
  return redis.call('HMGET', prefix .. 'n', period + 1, period, period - 1, period - 2)
end

local function is_done(prefix, period, counts, job_key, id)
  for number = 1, PERIODS + 1 do
    local count = counts[number]
    if count then
      for level = level_of(count - 1), 0, -1 do
        if redis.call('SISMEMBER', done_key(prefix, period + 2 - number, level, job_key), id) == 1 then
          return true
        end
      end
    end
  end
  return false
end
