-- Lists of suppressed addresses, one a shop and one of all shops. An address is a keyed hash: four hex digits that
-- choose its set, then a whole number of 64 bits. Sets and levels are those of finished.lua, for the same reasons. The
-- number of addresses in each level lies in a string beside the sets, with the number of the list's last change and the
-- fingerprint of the key by which it is hashed. Nothing of a list expires.
local MOST_PER_SET, DEEPEST = 400, 4
local LIST = '>i8c8i8i8i8i8i8'
local EVERY_SHOP = 'rd:{*}:'

-- Whether a cluster keeps the key apart from those of this script.
local function is_elsewhere(key)
  local packed = redis.pcall('GET', key)
  return type(packed) == 'table' and (string.find(packed.err, 'slot') or string.find(packed.err, 'local key')) ~= nil
end

-- The list of the shop with this prefix; nil if it has none.
local function load_list(prefix)
  -- In a cluster the list of all shops is out of reach of the others', and there is none: suppress.lua makes none there.
  if prefix == EVERY_SHOP and is_elsewhere(prefix .. 'x') then
    return nil
  end
  local packed = redis.call('GET', prefix .. 'x')
  if not packed then
    return nil
  end
  local list = { prefix = prefix .. 'x:' }
  list.number, list.key, list[0], list[1], list[2], list[3], list[4] = struct.unpack(LIST, packed)
  return list
end

local function save_list(prefix, list)
  redis.call('SET', prefix .. 'x', struct.pack(LIST, list.number, list.key, list[0], list[1], list[2], list[3], list[4]))
end

local function set_of(list, level, address)
  return list.prefix .. string.sub(address, 1, level)
end

-- The level in which the list has the address; nil if it hasn't.
local function level_in(list, address)
  for level = 0, DEEPEST do
    if list[level] > 0 and redis.call('SISMEMBER', set_of(list, level, address), string.sub(address, 5)) == 1 then
      return level
    end
  end
  return nil
end
