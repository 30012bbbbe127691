-- KEYS: shop, then for each job: its customer, its record.
-- ARGV: prefix, period length, horizon, grant lifetime, lease, keep (all us), whether it is this process's turn,
--       shop interval, burst, per day, customer interval, burst, per day, resets at, step between turns;
--       then for each job: its id (12 bytes), '1' if it has a customer, '1' if it holds a place in that one's line.
-- Returns the time, then for each job: {1 go, epoch, start_at, start_by, attempts, takeovers},
--   {2 closed, until, reason: 1 rate 2 day 3 throttled}, {3 wait, scope: 1 customer 2 job, until}, {4 seen, epoch, result}.

local prefix = ARGV[1]
local period_us, horizon, lifetime, lease_us, keep =
  tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local turn = ARGV[7] == '1'
local s_interval, s_burst, s_day = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local c_interval, c_burst, c_day = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
local resets_at, step = tonumber(ARGV[14]), tonumber(ARGV[15])
local FIRST = 15

local now = now_us()
local shop = load_scope(KEYS[1])
roll_period(shop, math.floor(now / period_us))
local day = quota_day(shop, now, resets_at)
local next_day = (day + 1) * DAY + resets_at
local closed = nil
local shop_changed = false
local replies = { now }

local function next_place(c, due)
  c.line = math.max(c.line + c_interval, due)
  return c.line
end

local function save_customer(key, c)
  local keep_until = math.max(c.tat, c.line, c.blocked, c.calls > 0 and (c.day + 1) * DAY + resets_at or 0)
  if keep_until > now then
    save_scope(key, c, keep_until)
  else
    redis.call('DEL', key)
  end
end

-- Whether the shop is closed to whoever asks now; nil for open.
local function shop_refusal()
  if shop.blocked > now then
    return { 2, shop.blocked, 3 }
  end
  if shop.day == day and shop.calls >= s_day then
    return { 2, next_day, 2 }
  end
  local due = earliest(shop.tat, now, s_interval, s_burst)
  if due > now + horizon or (shop.line > now and not turn) then
    -- Each process that is turned away gets a time of its own: all at once, all but one would come in vain.
    shop.line = math.max(shop.line + step, due - horizon / 2, now + 1)
    shop_changed = true
    return { 2, math.floor(shop.line), 1 }
  end
  return nil
end

for i = 0, (#KEYS - 1) / 2 - 1 do
  local customer_key, job_key = KEYS[2 + 2 * i], KEYS[3 + 2 * i]
  local id = ARGV[FIRST + 1 + 3 * i]
  local has_customer, has_place = ARGV[FIRST + 2 + 3 * i] == '1', ARGV[FIRST + 3 + 3 * i] == '1'
  local record = not closed and redis.call('GET', job_key)
  local kind = record and string.sub(record, 1, 1)
  local attempts, takeovers, reply = 0, 0, nil
  if kind == 'A' then
    local epoch, result = string.match(record, '^A(%d+) (.*)$')
    reply = { 4, tonumber(epoch), result }
  elseif kind == 'S' then
    local epoch, lease
    epoch, lease, attempts, takeovers = cmsgpack.unpack(string.sub(record, 2))
    if lease > now then
      reply = { 3, 2, lease }
    else
      takeovers = takeovers + 1
    end
  elseif kind == 'W' then
    local not_before
    attempts, takeovers, not_before = cmsgpack.unpack(string.sub(record, 2))
    if not_before > now then
      reply = { 3, 2, not_before }
    end
  elseif not closed and is_done(prefix, shop, id) then
    reply = { 4, 0, false }
  end

  closed = closed or (not reply and shop_refusal() or nil)
  reply = reply or closed
  if not reply then
    local due = earliest(shop.tat, now, s_interval, s_burst)
    local customer = nil
    if has_customer then
      customer = load_scope(customer_key)
      local c_due = earliest(customer.tat, now, c_interval, c_burst)
      local calls = (customer.day == day) and customer.calls or 0
      if customer.blocked > now then
        reply = { 3, 1, next_place(customer, customer.blocked) }
      elseif calls >= c_day then
        reply = { 3, 1, next_day }
      elseif not has_place and customer.line > now then
        -- Others were told to come back in turn; a newcomer must not take the token that one of them comes for.
        reply = { 3, 1, next_place(customer, c_due) }
      elseif c_due > now + horizon then
        reply = { 3, 1, has_place and c_due or next_place(customer, c_due) }
      else
        due = math.max(due, c_due)
      end
    end
    if not reply then
      -- Both buckets are charged at the one instant at which the call may start, so that neither window is cheated.
      shop.tat = math.max(shop.tat, due) + s_interval
      shop.taken_at = now
      count_call(shop, day)
      shop_changed = true
      if customer then
        customer.tat = math.max(customer.tat, due) + c_interval
        customer.taken_at = now
        count_call(customer, day)
      end
      local start_by = due + lifetime
      redis.call('SET', job_key, pack_started(now, start_by + lease_us, attempts + 1, takeovers))
      expire_at(job_key, now + keep)
      reply = { 1, now, due, start_by, attempts + 1, takeovers }
    end
    if customer then
      save_customer(customer_key, customer)
    end
  end
  replies[#replies + 1] = reply
end

if shop_changed then
  save_scope(KEYS[1], shop, now + math.max(keep, 3 * period_us))
end
return replies
