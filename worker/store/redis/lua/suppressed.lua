-- KEYS: the list. ARGV: prefix, the key's fingerprint, then addresses.
-- Returns for each 1 if it is on the list, else 0; or -1 if the list is of another key.
local FIRST = 2
local list = load_list(ARGV[1])
if list and list.key ~= ARGV[2] then
  return -1
end
local reply = {}
for i = FIRST + 1, #ARGV do
  reply[i - FIRST] = list and level_in(list, ARGV[i]) and 1 or 0
end
return reply
