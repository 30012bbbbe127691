-- KEYS: note. ARGV: reason, code, for how long, and how much longer it is kept (us); nothing if the shop is open again.
if ARGV[1] then
  local until_us = now_us() + tonumber(ARGV[3])
  put(KEYS[1], cmsgpack.pack(until_us, ARGV[1], ARGV[2]), until_us + tonumber(ARGV[4]))
else
  redis.call('DEL', KEYS[1])
end
