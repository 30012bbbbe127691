-- KEYS: shop, then for each job: its customer, its record.
-- ARGV: prefix; packed integers: period length, horizon, grant lifetime, lease, keep (all us), 1 if it is this process's
--       turn, shop interval, burst, per day, customer interval, burst, per day, resets at, step between turns, 1 if
--       the pace adapts; then for each job: its id, an epoch, its place in its customer's line as us from now,
--       'none' if it has no place, 'nobody' if it has no customer, 'free' if it ends without a call, and its deadline.
-- Returns the time, then for each job: {1 go, epoch, start_at, start_by, attempts, takeovers, unknowns, elapsed, 1 if this
--   is a takeover, the shop's calls of the day or nothing}, {2 closed, until, reason: 1 rate 2 day 3 throttled,
--   interval}, {3 wait, scope: 1 customer 2 job, until}, {4 seen, epoch, result}.

local prefix = ARGV[1]
local period_us, horizon, lifetime, lease_us, keep, turn, s_interval, s_burst, s_day, c_interval, c_burst, c_day,
  resets_at, step, adapts = struct.unpack('>i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8', ARGV[2])
local FIRST, EACH = 2, 4

local now = now_us()
local period = math.floor(now / period_us)
local finished = counts_of(prefix, DONE, period)
local shop = unpack_scope(redis.call('GET', KEYS[1]))
local interval = adapts == 1 and pace(shop, now, s_interval) or s_interval
step = math.max(step, interval)
local shop_changed = let_catch_up(shop, now, horizon, interval, s_burst)
local day = quota_day(shop, now, resets_at)
local next_day = (day + 1) * DAY + resets_at
-- No call is booked into the next day: it would be counted in this one.
horizon = math.min(horizon, next_day - 1 - now)
local closed = nil

-- Whether the shop is closed to whoever asks now; nil for open.
local function shop_refusal(due)
  if shop.blocked > now then
    return { 2, shop.blocked, 3, interval }
  end
  if shop.day == day and shop.calls >= s_day then
    return { 2, next_day, 2, interval }
  end
  -- A token that is there now was left by those whose turn it was: whoever comes may have it. One that is on its way
  -- belongs to those who were given a turn.
  if due <= now or (due <= now + horizon and (turn == 1 or shop.line <= now)) then
    return nil
  end
  -- Each process that is turned away gets a time of its own: all at once, all but one would come in vain.
  shop.line = math.max(shop.line + step, due - horizon / 2, now + 1)
  shop_changed = true
  return { 2, shop.line, 1, interval }
end

-- Until when the job's customer must wait; nil for not at all. `place` is nil for a newcomer.
local function customer_refusal(c, due, place)
  local from = math.max(due, c.blocked)
  if c.blocked <= now then
    if c.day == day and c.calls >= c_day then
      -- Places after the reset, not the reset itself: there they would all come at one instant, and again and again.
      if place and place >= next_day then
        return place
      end
      from = next_day
    elseif due <= now + horizon and (place or c.line <= now) then
      -- Not for a newcomer while a line stands: it would send to the end those who were told to come back in turn.
      return nil
    elseif place and now <= place + c_interval then
      return due
    end
    -- Who comes late lines up anew: after standing behind others in their queue they all do, and together.
  end
  c.line = math.max(c.line + c_interval, from)
  return c.line
end

local function admit(job_key, customer_key, id, epoch, place, deadline)
  local free = place == 'free'
  local record = redis.call('GET', job_key)
  local kind = record and kind_of(record)
  if kind == 'A' and (free or not uncalled_outcome(record)) then
    return { 4, epoch_of(record), string.sub(record, 10) }
  end
  local attempts, takeovers, unknowns, elapsed, latest = 0, 0, 0, 0, UNKNOWN_DEADLINE
  local overtaken, customer = 0, nil
  if kind == 'S' then
    local lease, charged_day, shop_base, customer_base
    lease, attempts, takeovers, unknowns, charged_day, shop_base, customer_base, elapsed = unpack_started(record)
    latest = deadline_of(record)
    if epoch_of(record) == epoch then
      -- This very question was granted before and the answer was lost on its way: nobody has started anything.
      undo_attempt(job_key, epoch, attempts, takeovers, unknowns, elapsed, latest, now + keep)
      attempts, shop_changed = attempts - 1, true
      local s_charged, c_charged = unpack_charged(record, s_interval, place ~= 'nobody' and not free and c_interval or 0)
      put_back(shop, shop_base, s_charged, charged_day)
      if c_charged > 0 then
        customer = unpack_scope(redis.call('GET', customer_key))
        put_back(customer, customer_base, c_charged, charged_day)
        save_scope(customer_key, customer, needed_until(customer, resets_at))
      end
    elseif lease > now then
      return { 3, 2, lease }
    else
      takeovers, overtaken = takeovers + 1, 1
      -- Whoever was to end it without a call has made none.
      unknowns = unknowns + (charged_day == UNCHARGED and 0 or 1)
    end
  elseif kind == 'W' then
    local not_before
    attempts, takeovers, unknowns, not_before, elapsed = unpack_waiting(record)
    latest = deadline_of(record)
    if not_before > now then
      return { 3, 2, not_before }
    end
  elseif not record and is_in(prefix, DONE, period, finished, job_key, id) then
    return { 4, epoch, false }
  end

  if free then
    -- Only the copy with the latest deadline may end what was begun: for another one its message is still to come.
    if latest > deadline or not record and uncalled_as(prefix, period, job_key, id) then
      return { 4, epoch, false }
    end
    local lease = now + lifetime + lease_us
    attempts = attempts + 1
    put(job_key, started(epoch, lease, attempts, takeovers, unknowns, UNCHARGED, -1, -1, elapsed, 0, 0, latest),
        lease + keep)
    return { 1, epoch, now, now + lifetime, attempts, takeovers, unknowns, elapsed, overtaken, false }
  end

  attempts = attempts + 1
  local start_at = earliest(shop.tat, now, interval, s_burst)
  closed = shop_refusal(start_at)
  if closed then
    return closed
  end
  if place ~= 'nobody' then
    customer = customer or unpack_scope(redis.call('GET', customer_key))
    local due = earliest(customer.tat, now, c_interval, c_burst)
    local held_until = customer_refusal(customer, due, place ~= 'none' and now + tonumber(place) or nil)
    if held_until then
      save_scope(customer_key, customer, needed_until(customer, resets_at))
      return { 3, 1, held_until }
    end
    start_at = math.max(start_at, due)
    take(customer, start_at, c_interval, day)
    save_scope(customer_key, customer, needed_until(customer, resets_at))
  end
  -- Both buckets are charged at the one instant at which the call may start, so that neither window is cheated.
  count_since(shop, start_at)
  take(shop, start_at, interval, day)
  shop_changed = true
  local start_by = start_at + lifetime
  local lease = start_by + lease_us
  put(job_key, started(epoch, lease, attempts, takeovers, unknowns, day, shop.base, customer and customer.base or 0,
                       elapsed, interval, customer and c_interval or 0, math.max(latest, deadline)), lease + keep)
  return { 1, epoch, start_at, start_by, attempts, takeovers, unknowns, elapsed, overtaken, shop.calls }
end

local replies = { now }
for i = 1, (#KEYS - 1) / 2 do
  local first = FIRST + EACH * (i - 1)
  replies[i + 1] = closed or admit(KEYS[2 * i + 1], KEYS[2 * i], ARGV[first + 1], ARGV[first + 2],
                                   ARGV[first + 3], tonumber(ARGV[first + 4]))
end
if shop_changed then
  save_scope(KEYS[1], shop, needed_until(shop, resets_at))
end
return replies
