-- KEYS: scope (shop or customer). ARGV: for how long (us).
local s = unpack_scope(redis.call('GET', KEYS[1]))
s.blocked = math.max(s.blocked, now_us() + tonumber(ARGV[1]))
save_scope(KEYS[1], s, s.blocked)
