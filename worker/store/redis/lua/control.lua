-- KEYS: controls, log, lists of suppressed addresses. ARGV: who orders it, the action, shop, campaign, reason, detail, each '' where there is none; then
--       for 'limit' and 'cancel' for how long (us), and for 'limit' the interval (us).
-- The actions 'pause', 'resume', 'limit', 'unlimit', 'cancel' and 'restore' change what is in force, any other is only
-- remembered. Returns what watch.lua returns of another version.
local MOST_ORDERS, MOST_LATEST, YEAR = 1000, 8, 366 * 86400 * 1000000

-- Workers must hear of an order also where nothing stays in force: without the string its version would be gone.
local NEWS = 86400 * 1000000

local now = now_us()
local version, pauses, cancelled, limits, latest = load_controls(KEYS[1])
local by, action, shop, campaign, reason, detail = unpack(ARGV)
local lasts, interval = tonumber(ARGV[7]), tonumber(ARGV[8])

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
  if entry[1] == shop then
    since = entry[3]
  end
end
if action == 'pause' or action == 'resume' then
  pauses = keep_if(pauses, function(entry) return entry[1] ~= shop end)
  if action == 'pause' then
    pauses[#pauses + 1] = { shop, reason, since }
  end
end

cancelled = keep_if(cancelled, function(entry) return entry[3] > now end)
if action == 'cancel' then
  cancelled = keep_if(cancelled, function(entry) return entry[1] ~= campaign or entry[2] ~= shop end)
  cancelled[#cancelled + 1] = { campaign, shop, now + lasts }
elseif action == 'restore' then
  cancelled = keep_if(cancelled, function(entry)
    return entry[1] ~= campaign or (shop ~= '*' and entry[2] ~= shop)
  end)
end

limits = keep_if(limits, function(entry) return entry[5] > now end)
if action == 'limit' or action == 'unlimit' then
  limits = keep_if(limits, function(entry) return entry[1] ~= shop end)
  if action == 'limit' then
    limits[#limits + 1] = { shop, interval, reason, now, now + lasts }
  end
end

version = math.max(now, version + 1)
local order = { version, by, action, shop, campaign, reason, detail }
table.insert(latest, 1, order)
latest[MOST_LATEST + 1] = nil

local keep_until = now + NEWS
for _, entry in ipairs(cancelled) do
  keep_until = math.max(keep_until, entry[3])
end
for _, entry in ipairs(limits) do
  keep_until = math.max(keep_until, entry[5])
end
local packed = cmsgpack.pack(version, pauses, cancelled, limits, latest)
-- Deleted first, so that it is written also when the memory is full; a pause must then be possible all the more.
redis.call('DEL', KEYS[1])
if #pauses > 0 then
  redis.call('SET', KEYS[1], packed)
else
  put(KEYS[1], packed, keep_until)
end

local entries = load_log(KEYS[2])
table.insert(entries, 1, order)
entries[MOST_ORDERS + 1] = nil
put(KEYS[2], cmsgpack.pack(entries), now + YEAR)
return { now, version, pauses, cancelled, limits, latest, { load_lists(KEYS[3]) } }
