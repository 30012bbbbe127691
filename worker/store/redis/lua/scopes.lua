-- A shop's or a customer's limits, packed into one string.
--   tat: when the bucket is full again. base: see `take`.
--   line: the last turn or place in line that was given (of a shop: to a process; of a customer: to a job).
--   blocked: until when.
--   day, calls: the quota day and how many calls it has had. kept: when the key expires.
--   slow, slowed_at, since: of a shop, the interval of its calls after the last fall of its pace (0 for none), when that
--     was, and how many calls were granted since (-1: the shop was idle meanwhile).

local DAY = 86400000000

-- How a pace falls and recovers, and why so, is in worker/limits/adaptive.py.
local RECOVERY, IDLE = 3600000000, 10000000

local function unpack_scope(packed)
  if packed then
    local tat, base, line, blocked, day, calls, kept, slow, slowed_at, since = cmsgpack.unpack(packed)
    return { tat = tat, base = base, line = line, blocked = blocked, day = day, calls = calls, kept = kept,
             slow = slow or 0, slowed_at = slowed_at or 0, since = since or 0 }
  end
  return { tat = 0, base = 0, line = 0, blocked = 0, day = -1, calls = 0, kept = 0, slow = 0, slowed_at = 0,
           since = 0 }
end

-- Keeps it until then at least. An expiry that is late enough stays, which costs half as much.
local function save_scope(key, s, keep_until)
  local late_enough = keep_until <= s.kept
  s.kept = math.max(s.kept, keep_until)
  local packed
  if s.slow > 0 then
    packed = cmsgpack.pack(s.tat, s.base, s.line, s.blocked, s.day, s.calls, s.kept, s.slow, s.slowed_at,
                           s.since)
  else
    packed = cmsgpack.pack(s.tat, s.base, s.line, s.blocked, s.day, s.calls, s.kept)
  end
  if not late_enough then
    put(key, packed, keep_until)
  elseif s.kept > 0 then
    redis.call('SET', key, packed, 'KEEPTTL')
  end
end

-- For as long as it can hold anybody back. A full bucket in no day with calls is the same as none.
local function needed_until(s, resets_at)
  return math.max(s.tat, s.line, s.blocked, s.calls > 0 and (s.day + 1) * DAY + resets_at or 0,
                  s.slow > 0 and s.slowed_at + RECOVERY or 0)
end

-- Counts a call of the shop that is granted for `at`, before `take`.
local function count_since(s, at)
  if s.slow > 0 and s.since >= 0 then
    s.since = at > s.tat + IDLE and -1 or s.since + 1
  end
end

-- The interval between a shop's calls at present; `full` is what it comes back to.
local function pace(s, now, full)
  if s.slow > 0 and now < s.slowed_at + RECOVERY then
    return math.max(full, math.ceil(s.slow / (1 + s.slow / full * (math.max(0, now - s.slowed_at) / RECOVERY))))
  end
  return full
end

-- A bucket is emptier than empty where its rate was raised since: a limit of an operator's has ended. Charges that were
-- cut off can't be taken out any more, and turns were counted by the slower pace. Returns whether it was so.
local function let_catch_up(s, now, horizon, interval, burst)
  local empty = now + horizon + interval * burst
  if s.tat <= empty then
    return false
  end
  s.tat, s.base, s.line = empty, empty, math.min(s.line, empty)
  return true
end

-- A day that has begun stays the day, also when the clock steps back or the reset is moved to later.
local function quota_day(s, now, resets_at)
  return math.max(math.floor((now - resets_at) / DAY), s.day)
end

local function earliest(tat, now, interval, burst)
  return math.max(now, math.max(tat, now) + interval - interval * burst)
end

-- Takes a token for a call that starts at `at`, an instant that `earliest` allows.
--
-- Tokens can be put back for as long as that can't cheat a window. `base` is where the bucket stood when it was last
-- overtaken by a call; calls that start at or before it have only added to it, so that one of them can be taken out,
-- whichever and in any order. Once a later call overtakes the bucket, tokens of the earlier ones have come back by
-- themselves, and nothing is put back twice.
local function take(s, at, interval, day)
  if at > s.base then
    s.base = math.max(s.tat, at)
  end
  s.tat = math.max(s.tat, at) + interval
  if day > s.day then
    s.day, s.calls = day, 0
  end
  s.calls = s.calls + 1
end

local function put_back(s, base, interval, day)
  if s.base == base then
    s.tat = s.tat - interval
  end
  if s.day == day and s.calls > 0 then
    s.calls = s.calls - 1
  end
end
