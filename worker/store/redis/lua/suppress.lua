-- KEYS: the list. ARGV: prefix, the key's fingerprint, the number of the change, 'add' or 'remove', how many addresses
--       will come after these, then the addresses.
-- Returns how many of them changed the list and how many are on it now; -1 if the list is of another key, or there is
-- none; -2 for the list of all shops in a cluster of several nodes.
local FIRST = 5
local prefix, key, number, adds = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == 'add'
local list = load_list(prefix)
  or { prefix = prefix .. 'x:', number = 0, key = key, [0] = 0, [1] = 0, [2] = 0, [3] = 0, [4] = 0 }
if list.key ~= key or key == '' then
  return { -1, 0 }
end
if prefix == EVERY_SHOP then
  -- Of so many slots one is on another node, if there is one.
  for shop = 1, 64 do
    if is_elsewhere('rd:{' .. shop .. '}:x') then
      return { -2, 0 }
    end
  end
end

local function total()
  return list[0] + list[1] + list[2] + list[3] + list[4]
end

-- Large enough for all that are there and to come: most lists then lie in one level, where one look finds them.
local wanted = total() + #ARGV - FIRST + tonumber(ARGV[5])
local deepest = 0
while deepest < DEEPEST and MOST_PER_SET * 16 ^ deepest < wanted do
  deepest = deepest + 1
end

local changed = 0
for i = FIRST + 1, #ARGV do
  local address = ARGV[i]
  local level = level_in(list, address)
  if adds and not level then
    redis.call('SADD', set_of(list, deepest, address), string.sub(address, 5))
    list[deepest], changed = list[deepest] + 1, changed + 1
  elseif not adds and level then
    redis.call('SREM', set_of(list, level, address), string.sub(address, 5))
    list[level], changed = list[level] - 1, changed + 1
  end
end
list.number = math.max(list.number, number)
save_list(prefix, list)
return { changed, total() }
