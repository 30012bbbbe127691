-- KEYS: names of the shop's campaigns. ARGV: prefix, cursor, about how many.
-- Returns the next cursor ('0': there is no more), then for each campaign of the page its name and its counters with
-- their values. A name may come twice.
local page = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
local reply = { page[1] }
local names = page[2]
for i = 1, #names, 2 do
  local counters = redis.call('HGETALL', ARGV[1] .. 'k:' .. names[i])
  if #counters == 0 then
    redis.call('HDEL', KEYS[1], names[i])
  else
    reply[#reply + 1] = { names[i], counters }
  end
end
return reply
