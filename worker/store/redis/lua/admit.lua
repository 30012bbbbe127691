-- KEYS: shop, then for each job: its customer, its record; then each campaign among them that has a pace of its own.
-- ARGV: prefix; packed integers: period length, horizon, grant lifetime, lease, keep (all us), 1 if it is the process's
--       turn, shop interval, burst, per day, customer interval, burst, per day, resets at, step between turns, the same
--       for its next turn if it wants that too or 0, 1 if the pace adapts, 1 if the jobs are urgent, how many tokens of
--       the bucket and calls of the day are kept for urgent ones, the number of the latest change that the caller knows
--       of in the shop's list of suppressed addresses and in that of all shops, how many campaigns have a pace; the
--       fingerprint of the key by which it hashes addresses, '' without one; then for each job: its id, an epoch, its place in its customer's
--       line as us from now ('none' if it has no place, 'nobody' if it has no customer, 'uncalled' if it ends without a
--       call), its deadline, and the addresses of its customer and its destination, '' where there is none;
--       with paces then packed for each job which of them is its campaign's (0: none) and its place in that one's line
--       as us from now (NO_PLACE for none), and for each campaign its interval (us) and calls per day (0: none).
-- Returns the time, then for each job: {1 grant, epoch, start_at, start_by, attempts, takeovers, unknowns, elapsed, 1
--   if this is a takeover, the shop's calls of the day or nothing, 1 if an address is suppressed}, {2 closed, until,
--   reason: 1 rate 2 day 3 throttled 4 suppression 5 reserve 6 urgent, interval}, {3 wait, scope: 1 customer 2 job 3 its campaign's
--   pace 4 its campaign's day, until, with 3 its place in line, nothing where there is none}, {4 already answered, epoch, result}.
--   Behind them the next turn, as a closed one, where it is wanted and no token is there.
-- Asked again with the same epoch, after a lost reply, it undoes its first grant and decides again.

local prefix = ARGV[1]
local period_us, horizon, lifetime, lease_us, keep, turn, s_interval, s_burst, s_day, c_interval, c_burst, c_day,
  resets_at, step, next_step, adapts, urgent, s_reserve, day_reserve, s_listed, every_listed, paced =
  struct.unpack('>i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8', ARGV[2])
local address_key = ARGV[3]
local FIRST, EACH = 3, 6
local NO_DEADLINE, SUPPRESSION_PAUSE, NO_PLACE, FARTHEST_PLACE = 2 ^ 53 - 1, 2000000, -2 ^ 62, 20000000
local JOBS = (#KEYS - 1 - paced) / 2
local PLACES = FIRST + EACH * JOBS + 1

local now = now_us()
local period = math.floor(now / period_us)
local finished = counts_of(prefix, DONE, period)
local shop = unpack_scope(redis.call('GET', KEYS[1]))
local interval = adapts == 1 and pace(shop, now, s_interval) or s_interval
-- Urgent calls are granted farther ahead.
local farthest = horizon > 0 and math.max(horizon, URGENT_AHEAD) or 0
local shop_changed = let_catch_up(shop, now, shop.urgent_tat > 0 and farthest or horizon, interval, s_burst)
local day = quota_day(shop, now, resets_at)
local next_day = (day + 1) * DAY + resets_at
-- No call is booked into the next day: it would be counted in this one.
local urgent_ahead = horizon > 0 and math.min(URGENT_AHEAD, next_day - 1 - now) or 0
horizon = math.min(horizon, next_day - 1 - now)
local closed = nil
local paces = {}
for i = 1, paced do
  local p_interval, per_day = struct.unpack('>i8i8', ARGV[PLACES + i])
  local key = KEYS[1 + 2 * JOBS + i]
  -- No campaign goes faster than its shop.
  paces[i] = { key = key, scope = unpack_scope(redis.call('GET', key)), interval = math.max(p_interval, interval),
               per_day = per_day > 0 and per_day or math.huge }
  -- Two intervals, since a call may come half of one early.
  let_catch_up(paces[i].scope, now, farthest, paces[i].interval, 2)
end
local s_list, every_list = load_list(prefix), load_list(EVERY_SHOP)

-- Whether a list can't be relied on: it is of another key, or has lost changes that the caller knows of.
local function is_unusable(list, listed)
  return list and list.key ~= address_key or (list and list.number or 0) < listed
end
local unusable = is_unusable(s_list, s_listed) or is_unusable(every_list, every_listed)

local function is_suppressed(address)
  return address ~= '' and (s_list and level_in(s_list, address) or every_list and level_in(every_list, address))
end

-- Why the shop is closed to every process: the provider's block, or a day's quota that is used up. Nil for neither.
local function shop_refusal()
  if shop.blocked_until > now then
    return { 2, shop.blocked_until, 3, interval }
  end
  if shop.day == day and shop.calls >= s_day then
    return { 2, next_day, 2, interval }
  end
  if day_reserve > 0 and urgent == 0 then
    local remaining = s_day - (shop.day == day and shop.calls or 0)
    if remaining <= kept_of_day(day_reserve, shop.day == day and shop.urgent_calls or 0, next_day - now) then
      return { 2, math.max(now + 1, bulk_opens_at(day_reserve, remaining, next_day)), 5, interval }
    end
  end
  return nil
end

-- Each process that is turned away gets an instant of its own: if all came at once, all but one came in vain.
local function next_turn(due, after)
  shop.last_given = math.max(shop.last_given + math.max(after, interval), due - horizon / 2, now + 1)
  shop_changed = true
  return { 2, shop.last_given, 1, interval }
end

-- Until when no urgent job may ask; nil where one may go at `due`.
local function urgent_refusal(due)
  -- Somebody of bulk is to come back, or was a moment ago: it gets every fifth call.
  if shop.last_given + BULK_WAITS > now then
    local beside = beside_bulk(interval)
    local free_at = earliest(shop.urgent_tat, now, beside, s_burst)
    if free_at > now then
      -- An instant for each process, as of `next_turn`.
      shop.urgent_given, shop_changed = math.max(shop.urgent_given + beside, free_at), true
      return { 2, shop.urgent_given, 6, interval }
    end
  end
  return due > now + urgent_ahead and { 2, due - urgent_ahead, 6, interval } or nil
end

-- Sends a process away that has come before its turn; nil if it has not.
local function turn_away(due)
  if urgent == 1 then
    return urgent_refusal(due)
  end
  -- A token that is there now was left by those whose turn it was: any process may take it. One that is on its way
  -- belongs to the processes that were given a turn.
  if due <= now or (due <= now + horizon and (turn == 1 or shop.last_given <= now)) then
    return nil
  end
  return next_turn(due, step)
end

-- Gives the next place in a customer's line: the first when a token is there, each other one an interval later.
local function next_place(c, due, spacing)
  c.last_given = math.max(c.last_given + spacing, due)
  return c.last_given
end

-- Until when the job must wait for its customer; nil for not at all. `due` is when that one's bucket has a token,
-- `place` the job's place in line, nil for a newcomer.
local function customer_refusal(c, due, place, spacing, per_day)
  if c.blocked_until > now then
    return next_place(c, math.max(due, c.blocked_until), spacing)
  end
  if c.day == day and c.calls >= per_day then
    -- A place after the reset, not the reset itself: there all would come at one instant, again and again.
    return place and place >= next_day and place or next_place(c, next_day, spacing)
  end
  if not place and c.last_given > now then
    -- Others have places in line. A newcomer that took their token would send them to the end.
    return next_place(c, due, spacing)
  end
  if due > now + horizon then
    -- Jobs that come back late, from behind others in their queue, all missed their places. At one instant they would
    -- come back together again and again, 28 times each of 300. They get new places.
    return place and now <= place + spacing and due or next_place(c, due, spacing)
  end
  return nil
end

-- How the job must wait for its campaign's pace; nil for not at all.
local function campaign_refusal(c, due, place, spacing, per_day)
  if c.day == day and c.calls >= per_day then
    return { 3, 4, next_day }
  end
  local behind = not place and c.last_given > now
  if not behind and due <= now + horizon then
    return nil
  end
  local on_time = place and now <= place + spacing
  local given = on_time and due or math.max(c.last_given + spacing, due)
  if given > now + FARTHEST_PLACE then
    -- Whoever had this place might be gone by then, and the token with it.
    return { 3, 3, given - FARTHEST_PLACE }
  end
  if not on_time then
    c.last_given = given
  end
  -- It asks ahead of its place, so that what it needs of its shop is there in time.
  return { 3, 3, math.max(now, given - horizon), given }
end

-- Where the job's campaign has a pace: that one, and when it may start by it; then a wait, if it must.
local function by_its_pace(number)
  local which, place = struct.unpack('>Bi8', ARGV[PLACES], 9 * (number - 1) + 1)
  local of = paces[which]
  if not of then
    return nil, 0, nil
  end
  -- Half an interval early, so that a call which its shop delays by less than that loses nothing of the pace.
  local due = math.max(now, of.scope.tat - math.floor(of.interval / 2))
  of.changed = true
  return of, due, campaign_refusal(of.scope, due, place ~= NO_PLACE and now + place or nil, of.interval, of.per_day)
end

local function admit(number, job_key, customer_key, id, epoch, place, deadline, customer_address, destination)
  local uncalled, suppressed = place == 'uncalled', 0
  if not uncalled and (is_suppressed(customer_address) or is_suppressed(destination)) then
    -- For every copy, whatever its deadline.
    uncalled, suppressed, deadline = true, 1, NO_DEADLINE
  end
  local record = redis.call('GET', job_key)
  local kind = record and kind_of(record)
  if kind == 'A' and (uncalled or not uncalled_outcome(record)) then
    return { 4, epoch_of(record), string.sub(record, 10) }
  end
  local attempts, takeovers, unknowns, elapsed, latest = 0, 0, 0, 0, UNKNOWN_DEADLINE
  local overtaken, customer = 0, nil
  if kind == 'S' then
    local lease, charged_day, shop_base, customer_base
    lease, attempts, takeovers, unknowns, charged_day, shop_base, customer_base, elapsed = unpack_started(record)
    latest = deadline_of(record)
    if epoch_of(record) == epoch then
      -- The same request was granted before, and the reply was lost on its way: no call has started.
      undo_attempt(job_key, epoch, attempts, takeovers, unknowns, elapsed, latest, now + keep)
      attempts, shop_changed = attempts - 1, true
      local has_customer = place ~= 'nobody' and not uncalled
      local s_charged, c_charged = unpack_charged(record, s_interval, has_customer and c_interval or 0)
      refund(shop, shop_base, s_charged, charged_day)
      if urgent == 1 and shop.day == charged_day then
        shop.urgent_calls = math.max(0, shop.urgent_calls - 1)
      end
      if c_charged > 0 then
        customer = unpack_scope(redis.call('GET', customer_key))
        refund(customer, customer_base, c_charged, charged_day)
        save_scope(customer_key, customer, needed_until(customer, resets_at))
      end
      local of = paced > 0 and paces[struct.unpack('>B', ARGV[PLACES], 9 * (number - 1) + 1)]
      if of then
        -- The call of the day alone, as in release.lua.
        refund(of.scope, nil, 0, charged_day)
        of.changed = true
      end
    elseif lease > now then
      return { 3, 2, lease }
    else
      takeovers, overtaken = takeovers + 1, 1
      -- A worker that was to end the job without a call has made none, so none is lost with it.
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

  if uncalled then
    -- Only the copy with the latest deadline may end what was begun: its message is still to come.
    if latest > deadline or not record and uncalled_as(prefix, period, job_key, id) then
      return { 4, epoch, false }
    end
    local lease = now + lifetime + lease_us
    attempts = attempts + 1
    put(job_key, started(epoch, lease, attempts, takeovers, unknowns, UNCHARGED, -1, -1, elapsed, 0, 0, latest),
        lease + keep)
    return { 1, epoch, now, now + lifetime, attempts, takeovers, unknowns, elapsed, overtaken, false, suppressed }
  end

  if unusable then
    closed = { 2, now + SUPPRESSION_PAUSE, 4, interval }
    return closed
  end

  attempts = attempts + 1
  local start_at = earliest(shop.tat, now, interval, urgent == 1 and s_burst or s_burst - s_reserve)
  closed = shop_refusal() or turn_away(start_at)
  if closed then
    return closed
  end
  local campaign
  if paced > 0 then
    local due, wait
    campaign, due, wait = by_its_pace(number)
    if wait then
      return wait
    end
    start_at = math.max(start_at, due)
  end
  if place ~= 'nobody' then
    customer = customer or unpack_scope(redis.call('GET', customer_key))
    local due = earliest(customer.tat, now, c_interval, c_burst)
    local held_until = customer_refusal(customer, due, place ~= 'none' and now + tonumber(place) or nil, c_interval,
                                        c_day)
    if held_until then
      save_scope(customer_key, customer, needed_until(customer, resets_at))
      return { 3, 1, held_until }
    end
    start_at = math.max(start_at, due)
    take(customer, start_at, c_interval, day)
    save_scope(customer_key, customer, needed_until(customer, resets_at))
  end
  -- Both buckets are charged at the one instant at which the call may start, so that neither window is cheated.
  if campaign then
    take(campaign.scope, start_at, campaign.interval, day)
  end
  count_since(shop, start_at)
  take(shop, start_at, interval, day)
  if urgent == 1 then
    take_urgent(shop, now, interval, s_burst)
  end
  shop_changed = true
  local start_by = start_at + lifetime
  local lease = start_by + lease_us
  put(job_key, started(epoch, lease, attempts, takeovers, unknowns, day, shop.base, customer and customer.base or 0,
                       elapsed, interval, customer and c_interval or 0, math.max(latest, deadline)), lease + keep)
  return { 1, epoch, start_at, start_by, attempts, takeovers, unknowns, elapsed, overtaken, shop.calls, 0 }
end

local replies = { now }
for i = 1, JOBS do
  local first = FIRST + EACH * (i - 1)
  replies[i + 1] = closed or admit(i, KEYS[2 * i + 1], KEYS[2 * i], ARGV[first + 1], ARGV[first + 2],
                                   ARGV[first + 3], tonumber(ARGV[first + 4]), ARGV[first + 5], ARGV[first + 6])
end
if next_step > 0 and not closed then
  local due = earliest(shop.tat, now, interval, s_burst - s_reserve)
  if due > now then
    replies[#replies + 1] = next_turn(due, next_step)
  end
end
for _, of in ipairs(paces) do
  if of.changed then
    save_scope(of.key, of.scope, needed_until(of.scope, resets_at))
  end
end
if shop_changed then
  save_scope(KEYS[1], shop, needed_until(shop, resets_at))
end
return replies
