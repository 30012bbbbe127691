-- What is at the key; nothing where nothing is there.
local function unpacked(key)
  local packed = redis.call('GET', key)
  if packed then
    return cmsgpack.unpack(packed)
  end
end

-- The strings of orders that can't be read, since somebody else has written there.
local damaged = {}

-- What is at the key, if it begins with values of these types, which every version wrote; nothing where nothing is there.
-- Numbers are times and counts.
local function load(key, ...)
  local packed = redis.pcall('GET', key)
  if not packed then
    return
  end
  local values = type(packed) == 'string' and { pcall(cmsgpack.unpack, packed) } or {}
  for i, expected in ipairs({ ... }) do
    local value = values[i + 1]
    if type(value) ~= expected or expected == 'number' and not (value >= 0 and value <= 2 ^ 53) then
      damaged[#damaged + 1] = key
      return
    end
  end
  return unpack(values, 2)
end

-- What an operator has ordered, of all shops in one string: a version, then lists of pauses {shop, reason, since}, of
-- cancelled campaigns {campaign, shop, until}, of limits {shop, interval, reason, since, until}, and of the latest
-- orders {number, by, action, shop, campaign, reason, detail}; an older version's string lacks the last or the last two.
-- '*' is every shop. No string stands for no orders, version 0.

local function load_controls(key)
  local version, pauses, cancelled, limits, latest = load(key, 'number', 'table', 'table')
  return version or 0, pauses or {}, cancelled or {}, limits or {}, latest or {}
end

-- What is known of the lists of suppressed addresses: the number of their last change, the fingerprint of their key, and
-- {shop, addresses, number of its last change} of each. In a string of its own, which no older version rewrites.
local function load_lists(key)
  local number, address_key, lists = load(key, 'number', 'string', 'table')
  return number or 0, address_key or '', lists or {}
end

-- Orders about campaigns, in a string of their own, since an older version's commands would drop them from the first:
-- a list of {campaign, shop, hold, rest, interval, per day, brake}. A hold is {kind, reason, since}, a rest {kind, reason,
-- since, until} (0: until it is released), a brake {share, window, armed, until}, each false where there is none. Then
-- the version that has last let any job go that was held. A change of it makes another version too.
local function load_campaigns(key)
  local campaigns, freed = load(key, 'table', 'table')
  return campaigns or {}, freed or {}
end

-- The lanes that shops have beside their own queues, in a string of its own: an older version would write the controls
-- without them. `ALL_LANES` if RabbitMQ was searched for them since the string was lost, then their names. An older
-- version's search knew fewer lanes, and says 1.
local ALL_LANES = 2
local function load_lanes(key)
  local readable, all, lanes = pcall(unpacked, key)
  -- One that can't be read is as one that was lost: workers list their lanes again, and search for the others.
  if readable and (all == 0 or all == 1 or all == ALL_LANES) and type(lanes) == 'table' then
    return all, lanes
  end
  return 0, {}
end

-- The last orders in full, the newest first, in a string of its own that workers don't read. One that can't be read is
-- given up: an order must be possible all the same.
local function load_log(key)
  local readable, entries = pcall(unpacked, key)
  return readable and type(entries) == 'table' and entries or {}
end
