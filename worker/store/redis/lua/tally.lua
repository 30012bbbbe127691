-- KEYS: names of the shop's campaigns. ARGV: prefix, keep (us), campaign, then each counter and by how much.
local keep_until = milliseconds(now_us() + tonumber(ARGV[2]))
for i = 4, #ARGV, 2 do
  tally(ARGV[1], ARGV[3], ARGV[i], tonumber(ARGV[i + 1]), keep_until)
end
return 1
