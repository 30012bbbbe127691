-- What an operator has ordered, of all shops in one string: a version, then lists of pauses {shop, reason, since}, of
-- cancelled campaigns {campaign, shop, until}, and of limits {shop, interval, reason, since, until}, which an older
-- version's string has not; '*' is every shop. No string stands for no orders, version 0.

local function load_controls(key)
  local packed = redis.call('GET', key)
  if packed then
    local version, pauses, cancelled, limits = cmsgpack.unpack(packed)
    return version, pauses, cancelled, limits or {}
  end
  return 0, {}, {}, {}
end

-- Deleted first, so that it is written also when the memory is full; a pause must then be possible all the more.
local function save_controls(key, version, pauses, cancelled, limits)
  redis.call('DEL', key)
  local forget_at = 0
  for _, entry in ipairs(cancelled) do
    forget_at = math.max(forget_at, entry[3])
  end
  for _, entry in ipairs(limits) do
    forget_at = math.max(forget_at, entry[5])
  end
  local packed = cmsgpack.pack(version, pauses, cancelled, limits)
  if #pauses > 0 then
    redis.call('SET', key, packed)
  elseif forget_at > 0 then
    put(key, packed, forget_at)
  end
end
