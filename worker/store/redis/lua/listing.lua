-- KEYS: the list. ARGV: prefix, the key's fingerprint, a level, the first of its sets, and how many of them are meant.
-- Returns the addresses in those sets as whole numbers, with none meant how many each level has; -1 if the list is of
-- another key.
local list = load_list(ARGV[1])
if not list then
  return {}
end
if list.key ~= ARGV[2] then
  return -1
end
local level, first, count = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local found = {}
if count == 0 then
  for each = 0, DEEPEST do
    found[each + 1] = list[each]
  end
end
for number = first, first + count - 1 do
  local name = level > 0 and string.format('%0' .. level .. 'x', number) or ''
  for _, address in ipairs(redis.call('SMEMBERS', list.prefix .. name)) do
    found[#found + 1] = address
  end
end
return found
