-- The records of jobs under way: a letter, the epoch (8 bytes) and what belongs to it.
--   S started: lease, attempts, takeovers, unknowns; then what the tokens were charged to: quota day, base of shop and
--     customer (UNCHARGED where it was granted to end without a call); then elapsed; then by what they were charged:
--     interval of shop and customer (0: no token was taken). An older version's record ends before the intervals.
--   W waiting: attempts, takeovers, unknowns, not before, elapsed; its epoch is over and means nothing.
--   A answered: the result.
-- S and W end with a deadline: the latest of the copies that were granted a call. A worker of an older version neither
-- reads nor writes it, so the deadline of its records is unknown.

local STARTED, CHARGED, WAITING = '>i8I4I4I4i4i8i8i8', '>i8i8', '>I4I4I4i8i8'
local CHARGED_AT = 10 + struct.size(STARTED)
local UNCHARGED, UNKNOWN_DEADLINE = -1, -2 ^ 62

local function started(epoch, lease, attempts, takeovers, unknowns, day, shop_base, customer_base, elapsed, s_interval,
                       c_interval, deadline)
  return 'S' .. epoch .. struct.pack('>i8I4I4I4i4i8i8i8i8i8i8', lease, attempts, takeovers, unknowns, day, shop_base,
                                     customer_base, elapsed, s_interval, c_interval, deadline)
end

local function waiting(epoch, attempts, takeovers, unknowns, not_before, elapsed, deadline)
  return 'W' .. epoch .. struct.pack('>I4I4I4i8i8i8', attempts, takeovers, unknowns, not_before, elapsed, deadline)
end

local function kind_of(record)
  return string.sub(record, 1, 1)
end

local function epoch_of(record)
  return string.sub(record, 2, 9)
end

-- How an answered job ended without a call; nil if it was called. Read only for a copy that is to be called.
local function uncalled_outcome(record)
  local readable, result = pcall(cjson.decode, string.sub(record, 10))
  local outcome = readable and type(result) == 'table' and result.outcome
  return (outcome == 'expired' or outcome == 'cancelled') and outcome or nil
end

-- Of a record that is started or waiting.
local function deadline_of(record)
  local at = kind_of(record) == 'S' and CHARGED_AT + struct.size(CHARGED) or 10 + struct.size(WAITING)
  if #record < at + 7 then
    return UNKNOWN_DEADLINE
  end
  return (struct.unpack('>i8', record, at))
end

-- Returns what `started` was given after the epoch, up to elapsed.
local function unpack_started(record)
  return struct.unpack(STARTED, record, 10)
end

-- Returns the intervals by which shop and customer were charged; those given where an older version made the record.
local function unpack_charged(record, s_interval, c_interval)
  if #record < CHARGED_AT then
    return s_interval, c_interval
  end
  return struct.unpack(CHARGED, record, CHARGED_AT)
end

-- Returns what `waiting` was given after the epoch, up to elapsed.
local function unpack_waiting(record)
  return struct.unpack(WAITING, record, 10)
end

-- Writes a record over another, also when the memory is full: once a script has written something, Redis lets it go on.
-- A call that was made must be recorded, and a job under way must end, so that there is room again.
local function replace(key, record, keep_until)
  redis.call('DEL', key)
  put(key, record, keep_until)
end

-- What is left of a grant that is undone: of the first one nothing.
local function undo_attempt(key, epoch, attempts, takeovers, unknowns, elapsed, deadline, keep_until)
  if attempts > 1 or unknowns > 0 then
    replace(key, waiting(epoch, attempts - 1, takeovers, unknowns, 0, elapsed, deadline), keep_until)
  else
    redis.call('DEL', key)
  end
end
