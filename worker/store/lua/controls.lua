-- What an operator has stopped, of all shops in one string: a version, then lists of pauses {shop, reason, since} and of
-- cancelled campaigns {campaign, shop, until}; '*' is every shop. No string stands for nothing stopped, version 0.

local function load_controls(key)
  local packed = redis.call('GET', key)
  if packed then
    return cmsgpack.unpack(packed)
  end
  return 0, {}, {}
end

-- Deleted first, so that it is written also when the memory is full; a pause must then be possible all the more.
local function save_controls(key, version, pauses, cancelled)
  redis.call('DEL', key)
  local forget_at = 0
  for _, entry in ipairs(cancelled) do
    forget_at = math.max(forget_at, entry[3])
  end
  local packed = cmsgpack.pack(version, pauses, cancelled)
  if #pauses > 0 then
    redis.call('SET', key, packed)
  elseif #cancelled > 0 then
    put(key, packed, forget_at)
  end
end
