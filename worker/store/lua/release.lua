-- KEYS: record, shop, customer. ARGV: epoch, '1' if the call was made, keep (us), shop interval, customer interval,
--       resets at, '1' if the job has a customer.
local now = now_us()
local record = redis.call('GET', KEYS[1])
if not record or string.sub(record, 1, 1) ~= 'S' then
  return 0
end
local epoch, lease, attempts, takeovers = cmsgpack.unpack(string.sub(record, 2))
if epoch ~= tonumber(ARGV[1]) then
  return 0
end
if attempts == 1 then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], pack_waiting(attempts - 1, takeovers, 0))
  expire_at(KEYS[1], now + tonumber(ARGV[3]))
end
if ARGV[2] == '1' then
  return 1
end

-- An epoch is the instant of its grant. A bucket that was used again since may have refilled in between, and then this
-- token was never missed: only those of the latest instant go back.
local day = math.floor((epoch - tonumber(ARGV[6])) / DAY)
local function undo(key, interval)
  local ttl = redis.call('PTTL', key)
  local s = load_scope(key)
  if s.taken_at == epoch then
    s.tat = s.tat - interval
  end
  if s.day == day and s.calls > 0 then
    s.calls = s.calls - 1
  end
  if ttl > 0 then
    save_scope(key, s, now + ttl * 1000)
  end
end
undo(KEYS[2], tonumber(ARGV[4]))
if ARGV[7] == '1' then
  undo(KEYS[3], tonumber(ARGV[5]))
end
return 1
