-- A scope is what is kept of a shop or a customer, packed into one string; worker/store/memory/scopes.py has the same.
--   tat: when the bucket is full again. base: see `take`.
--   last_given: the last turn (of a shop, given to a process) or place in line (of a customer, given to a job).
--   blocked_until: the end of the provider's block.
--   day, calls: the quota day and how many calls it has had. kept: when the key expires.
--   slow, slowed_at, since: of a shop, the interval of its calls after the last fall of its pace (0 for none), when
--     that was, and how many calls were granted since (-1: the shop was idle meanwhile).
--   urgent_tat, urgent_calls, urgent_given: of a shop, the bucket of its urgent calls beside bulk, how many of its calls
--     of the day were urgent, and the last turn given to a process for one.

local DAY = 86400000000

-- worker/limits/adaptive.py says how a pace falls and recovers, and gives the reasons for these numbers.
local RECOVERY, IDLE = 3600000000, 10000000

-- worker/limits/reserve.py says what is kept for urgent jobs, and gives the reasons.
local URGENT_AHEAD, BULK_WAITS = 700000, 1000000

local function unpack_scope(packed)
  if packed then
    local tat, base, last_given, blocked_until, day, calls, kept, slow, slowed_at, since, urgent_tat, urgent_calls,
      urgent_given = cmsgpack.unpack(packed)
    return { tat = tat, base = base, last_given = last_given, blocked_until = blocked_until, day = day, calls = calls,
             kept = kept, slow = slow or 0, slowed_at = slowed_at or 0, since = since or 0, urgent_tat = urgent_tat or 0,
             urgent_calls = urgent_calls or 0, urgent_given = urgent_given or 0 }
  end
  return { tat = 0, base = 0, last_given = 0, blocked_until = 0, day = -1, calls = 0, kept = 0, slow = 0, slowed_at = 0,
           since = 0, urgent_tat = 0, urgent_calls = 0, urgent_given = 0 }
end

-- Keeps the scope until then at least. An expiry that is late enough stays, which costs half as much. The fields of a
-- pace that has fallen and of urgent calls are left out where there are none: they would take a third more memory for
-- every customer.
local function save_scope(key, s, keep_until)
  local late_enough = keep_until <= s.kept
  s.kept = math.max(s.kept, keep_until)
  local packed
  if s.urgent_tat > 0 then
    packed = cmsgpack.pack(s.tat, s.base, s.last_given, s.blocked_until, s.day, s.calls, s.kept, s.slow, s.slowed_at,
                           s.since, s.urgent_tat, s.urgent_calls, s.urgent_given)
  elseif s.slow > 0 then
    packed = cmsgpack.pack(s.tat, s.base, s.last_given, s.blocked_until, s.day, s.calls, s.kept, s.slow, s.slowed_at,
                           s.since)
  else
    packed = cmsgpack.pack(s.tat, s.base, s.last_given, s.blocked_until, s.day, s.calls, s.kept)
  end
  if not late_enough then
    put(key, packed, keep_until)
  elseif s.kept > 0 then
    redis.call('SET', key, packed, 'KEEPTTL')
  end
end

-- For as long as it can hold anything back. A full bucket in no day with calls is the same as none.
local function needed_until(s, resets_at)
  return math.max(s.tat, s.last_given, s.blocked_until, s.calls > 0 and (s.day + 1) * DAY + resets_at or 0,
                  s.slow > 0 and s.slowed_at + RECOVERY or 0)
end

-- Counts a call of the shop that is granted for `at`, before `take`.
local function count_since(s, at)
  if s.slow > 0 and s.since >= 0 then
    s.since = at > s.tat + IDLE and -1 or s.since + 1
  end
end

-- The interval between a shop's calls at present; `full` is what it comes back to. The order of the operations is that
-- of worker/limits/adaptive.py, so that both round alike.
local function pace(s, now, full)
  if s.slow > 0 and now < s.slowed_at + RECOVERY then
    return math.max(full, math.ceil(s.slow / (1 + s.slow / full * (math.max(0, now - s.slowed_at) / RECOVERY))))
  end
  return full
end

-- Empties a bucket that is emptier than empty, where its rate was raised since: an operator's limit has ended. Charges
-- that are cut off can't be refunded any more (`take`), and turns were given by the slower pace. Returns whether so.
local function let_catch_up(s, now, horizon, interval, burst)
  local empty = now + horizon + interval * burst
  if s.tat <= empty then
    return false
  end
  s.tat, s.base, s.last_given = empty, empty, math.min(s.last_given, empty)
  return true
end

-- The day whose quota counts. A day that has begun stays the day, also when the clock steps back or the reset is moved
-- to later: no process would count a call in an older one.
local function quota_day(s, now, resets_at)
  return math.max(math.floor((now - resets_at) / DAY), s.day)
end

local function earliest(tat, now, interval, burst)
  return math.max(now, math.max(tat, now) + interval - interval * burst)
end

-- Takes a token for a call that starts at `at`, an instant that `earliest` allows, and counts it in the day.
--
-- Tokens can be refunded for as long as that can't cheat a window. `base` is where the bucket stood when a call last
-- overtook it. Calls that start at or before it have only added to it, so that each of them can be taken out,
-- whichever and in any order. Once a later call overtakes the bucket, tokens of the earlier ones have come back by
-- themselves, and none is refunded: nothing comes back twice.
local function take(s, at, interval, day)
  if at > s.base then
    s.base = math.max(s.tat, at)
  end
  s.tat = math.max(s.tat, at) + interval
  if day > s.day then
    s.day, s.calls, s.urgent_calls = day, 0, 0
  end
  s.calls = s.calls + 1
end

-- Puts back what `take` took at that base, by that interval, on that day; each part only where it is still there.
local function refund(s, base, interval, day)
  if s.base == base then
    s.tat = s.tat - interval
  end
  if s.day == day and s.calls > 0 then
    s.calls = s.calls - 1
  end
end

-- How many calls of the day are kept for urgent jobs, `left` us before its reset.
local function kept_of_day(reserve, urgent_calls, left)
  local step = math.floor(DAY / reserve)
  return math.max(0, math.min(reserve - urgent_calls, math.floor((2 * left + step) / (2 * step))))
end

-- When so much of the reserve has melted that bulk may have one of the day's remaining calls.
local function bulk_opens_at(reserve, remaining, reset)
  return reset + 1 - math.floor(((2 * remaining - 1) * math.floor(DAY / reserve) + 1) / 2)
end

-- The interval of urgent calls while bulk waits: four fifths of the rate.
local function beside_bulk(interval)
  return interval + math.floor((interval + 3) / 4)
end

-- Counts an urgent call against what urgent jobs may have beside bulk; never emptier than empty.
local function take_urgent(s, now, interval, burst)
  local beside = beside_bulk(interval)
  s.urgent_tat = math.min(math.max(s.urgent_tat, now) + beside, now + beside * burst)
  s.urgent_calls = s.urgent_calls + 1
end
