-- What every script shares: the state of a shop and of a customer as packed strings, and the ledger's keys.
-- All numbers are integer microseconds or counts below 2^53, which Lua's doubles hold exactly.

local function now_us()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

local function int(number)
  return string.format('%.0f', number)
end

-- Redis expires by the millisecond; rounded up, so that nothing is forgotten before its time.
local function expire_at(key, us)
  redis.call('PEXPIREAT', key, int(math.ceil(us / 1000)))
end

-- tat, line, taken_at, blocked until, quota day, calls of that day; and, for a shop, the ledger's period with the
-- number of jobs finished in it and in the two before.
local function load_scope(key)
  local packed = redis.call('GET', key)
  if packed then
    local tat, line, taken_at, blocked, day, calls, period, n0, n1, n2 = cmsgpack.unpack(packed)
    return { tat = tat, line = line, taken_at = taken_at, blocked = blocked, day = day, calls = calls,
             period = period, n0 = n0, n1 = n1, n2 = n2 }
  end
  return { tat = 0, line = 0, taken_at = 0, blocked = 0, day = -1, calls = 0, period = 0, n0 = 0, n1 = 0, n2 = 0 }
end

local function save_scope(key, s, keep_until)
  redis.call('SET', key, cmsgpack.pack(s.tat, s.line, s.taken_at, s.blocked, s.day, s.calls,
                                       s.period, s.n0, s.n1, s.n2))
  expire_at(key, keep_until)
end

local DAY = 86400000000

-- A day that has begun stays the day, also when the reset is moved to later.
local function quota_day(s, now, resets_at)
  return math.max(math.floor((now - resets_at) / DAY), s.day)
end

local function count_call(s, day)
  if day > s.day then
    s.day = day
    s.calls = 0
  end
  s.calls = s.calls + 1
end

local function earliest(tat, now, interval, burst)
  return math.max(now, math.max(tat, now) + interval - interval * burst)
end

-- The ledger of finished jobs: hashes small enough, with room for chance, for their compact encoding (128 fields). A level is used once
-- those before it are full; it has four times the hashes of the last, so that new ones never weigh much.
local PER_HASH = 90

local function level_of(n)
  local level, capacity = 0, PER_HASH
  while n >= capacity do
    level = level + 1
    capacity = capacity + PER_HASH * 4 ^ level
  end
  return level
end

local function done_key(prefix, period, level, id)
  local b1, b2, b3 = string.byte(id, 1, 3)
  local bucket = math.floor((b1 * 65536 + b2 * 256 + b3) / 2 ^ (24 - 2 * level))
  return prefix .. 'd:' .. int(period) .. ':' .. level .. ':' .. bucket
end

local function roll_period(s, period)
  while s.period < period do
    s.n2, s.n1, s.n0 = s.n1, s.n0, 0
    s.period = (period - s.period > 3) and period - 3 or s.period + 1
  end
end

local function is_done(prefix, s, id)
  local counts = { s.n0, s.n1, s.n2 }
  for back = 0, 2 do
    local n = counts[back + 1]
    if n > 0 then
      for level = level_of(n - 1), 0, -1 do
        if redis.call('HEXISTS', done_key(prefix, s.period - back, level, id), id) == 1 then
          return true
        end
      end
    end
  end
  return false
end

local function pack_started(epoch, lease, attempts, takeovers)
  return 'S' .. cmsgpack.pack(epoch, lease, attempts, takeovers)
end

local function pack_waiting(attempts, takeovers, not_before)
  return 'W' .. cmsgpack.pack(attempts, takeovers, not_before)
end
