-- What an operator has ordered, of all shops in one string: a version, then lists of pauses {shop, reason, since}, of
-- cancelled campaigns {campaign, shop, until}, of limits {shop, interval, reason, since, until}, and of the latest
-- orders {number, by, action, shop, campaign, reason, detail}; an older version's string lacks the last or the last two.
-- '*' is every shop. No string stands for no orders, version 0.

local function load_controls(key)
  local packed = redis.call('GET', key)
  if packed then
    local version, pauses, cancelled, limits, latest = cmsgpack.unpack(packed)
    return version, pauses, cancelled, limits or {}, latest or {}
  end
  return 0, {}, {}, {}, {}
end

-- What is known of the lists of suppressed addresses: the number of their last change, the fingerprint of their key, and
-- {shop, addresses, number of its last change} of each. In a string of its own, which no older version rewrites.
local function load_lists(key)
  local packed = redis.call('GET', key)
  if packed then
    return cmsgpack.unpack(packed)
  end
  return 0, '', {}
end

-- Orders about campaigns, in a string of their own, since an older version's commands would drop them from the first:
-- a list of {campaign, shop, hold, rest, interval, per day, brake}. A hold is {kind, reason, since}, a rest {kind, reason,
-- since, until} (0: until it is released), a brake {share, window, armed, until}, each false where there is none. Then
-- the version that has last let any job go that was held. A change of it makes another version too.
local function load_campaigns(key)
  local packed = redis.call('GET', key)
  if packed then
    return cmsgpack.unpack(packed)
  end
  return {}, {}
end

-- The lanes that shops have beside their own queues, in a string of its own: an older version would write the controls
-- without them. 1 if RabbitMQ was searched for them since the string was lost, then their names.
local function load_lanes(key)
  local packed = redis.call('GET', key)
  if packed then
    return cmsgpack.unpack(packed)
  end
  return 0, {}
end

-- The last orders in full, the newest first, in a string of its own that workers don't read. One that can't be read is
-- given up: an order must be possible all the same.
local function load_log(key)
  local readable, entries = pcall(function() return cmsgpack.unpack(redis.call('GET', key)) end)
  return readable and type(entries) == 'table' and entries or {}
end
