-- KEYS: controls, what is known of all lists. ARGV: the key's fingerprint, the number of a change, its shop, and how many
--       addresses are on that shop's list now.
local number, key, lists = load_lists(KEYS[2])
if damaged[1] then
  return redis.error_reply('DAMAGED')
end
local of_shop = { ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[2]) }
for i, list in ipairs(lists) do
  if list[1] == ARGV[3] then
    of_shop[3] = math.max(list[3], of_shop[3])
    table.remove(lists, i)
    break
  end
end
lists[#lists + 1] = of_shop
redis.call('SET', KEYS[2], cmsgpack.pack(math.max(number, of_shop[3]), ARGV[1], lists))
return 1
