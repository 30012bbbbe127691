-- KEYS: names of the shop's campaigns. ARGV: prefix.
-- Returns for each campaign its name and its counters with their values.
local reply = {}
local names = redis.call('HGETALL', KEYS[1])
for i = 1, #names, 2 do
  local counters = redis.call('HGETALL', ARGV[1] .. 'k:' .. names[i])
  if #counters == 0 then
    redis.call('HDEL', KEYS[1], names[i])
  else
    reply[#reply + 1] = { names[i], counters }
  end
end
return reply
