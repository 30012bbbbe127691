-- KEYS: controls. ARGV: 'pause', shop, reason | 'resume', shop | 'cancel', campaign, shop, for how long (us) |
--       'restore', campaign, shop | 'limit', shop, interval, reason, for how long (us) | 'unlimit', shop.
-- Returns the time, version, pauses, cancelled campaigns, limits.
local now = now_us()
local version, pauses, cancelled, limits = load_controls(KEYS[1])
local action, name, shop = ARGV[1], ARGV[2], ARGV[3]

local function keep_if(list, wanted)
  local kept = {}
  for _, entry in ipairs(list) do
    if wanted(entry) then
      kept[#kept + 1] = entry
    end
  end
  return kept
end

local since = now
for _, entry in ipairs(pauses) do
  if entry[1] == name then
    since = entry[3]
  end
end
if action == 'pause' or action == 'resume' then
  pauses = keep_if(pauses, function(entry) return entry[1] ~= name end)
  if action == 'pause' then
    pauses[#pauses + 1] = { name, ARGV[3], since }
  end
end

cancelled = keep_if(cancelled, function(entry) return entry[3] > now end)
if action == 'cancel' then
  cancelled = keep_if(cancelled, function(entry) return entry[1] ~= name or entry[2] ~= shop end)
  cancelled[#cancelled + 1] = { name, shop, now + tonumber(ARGV[4]) }
elseif action == 'restore' then
  cancelled = keep_if(cancelled, function(entry)
    return entry[1] ~= name or (shop ~= '*' and entry[2] ~= shop)
  end)
end

limits = keep_if(limits, function(entry) return entry[5] > now end)
if action == 'limit' or action == 'unlimit' then
  limits = keep_if(limits, function(entry) return entry[1] ~= name end)
  if action == 'limit' then
    limits[#limits + 1] = { name, tonumber(ARGV[3]), ARGV[4], now, now + tonumber(ARGV[5]) }
  end
end

version = math.max(now, version + 1)
save_controls(KEYS[1], version, pauses, cancelled, limits)
return { now, version, pauses, cancelled, limits }
