-- KEYS: scope (shop or customer). ARGV: for how long (us); a duration, since the caller's clock is not the server's.
local s = unpack_scope(redis.call('GET', KEYS[1]))
s.blocked_until = math.max(s.blocked_until, now_us() + tonumber(ARGV[1]))
save_scope(KEYS[1], s, s.blocked_until)
