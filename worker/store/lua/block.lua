-- KEYS: scope (shop or customer). ARGV: for how long (us), keep (us, 0 for as long as it blocks).
local now = now_us()
local s = load_scope(KEYS[1])
local ttl = redis.call('PTTL', KEYS[1])
s.blocked = math.max(s.blocked, now + tonumber(ARGV[1]))
save_scope(KEYS[1], s, math.max(s.blocked, now + tonumber(ARGV[2]), now + math.max(ttl, 0) * 1000))
return 1
