-- KEYS: controls, log, lists of suppressed addresses, campaigns. ARGV: who orders it, the action, shop, campaign, reason,
--       detail, each '' where there is none; then for 'limit' and 'cancel' for how long (us), for 'limit' the interval (us),
--       and for a 'pause' of every shop the numbers of the keys that can't be read, which are begun anew.
-- The actions 'pause', 'resume', 'limit', 'unlimit', 'cancel' and 'restore' change what is in force, any other is only
-- remembered. Returns what watch.lua returns of another version.
local now = now_us()
for number in string.gmatch(ARGV[9] or '', '%d') do
  redis.call('DEL', KEYS[tonumber(number)])
end
local version, pauses, cancelled, limits, latest = load_controls(KEYS[1])
local by, action, shop, campaign, reason, detail = unpack(ARGV)
local lasts, interval = tonumber(ARGV[7]), tonumber(ARGV[8])

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

cancelled = lasting(cancelled, 3, now)
if action == 'cancel' then
  cancelled = keep_if(cancelled, function(entry) return entry[1] ~= campaign or entry[2] ~= shop end)
  cancelled[#cancelled + 1] = { campaign, shop, now + lasts }
elseif action == 'restore' then
  cancelled = keep_if(cancelled, function(entry)
    return entry[1] ~= campaign or (shop ~= '*' and entry[2] ~= shop)
  end)
end

limits = lasting(limits, 5, now)
if action == 'limit' or action == 'unlimit' then
  limits = keep_if(limits, function(entry) return entry[1] ~= shop end)
  if action == 'limit' then
    limits[#limits + 1] = { shop, interval, reason, now, now + lasts }
  end
end

local order = { math.max(now, version + 1), by, action, shop, campaign, reason, detail }
local campaigns, freed = load_campaigns(KEYS[4])
if damaged[1] then
  return redis.error_reply('DAMAGED')
end
if action == 'cancel' then
  -- Its jobs end, also those that are held, and with them what holds or paces it: worker/model/campaign_orders.py.
  freed = freeing(freed, shop, order[1])
  for _, entry in ipairs(campaigns) do
    if entry[1] == campaign and (shop == '*' or entry[2] == shop) then
      entry[3], entry[4], entry[5], entry[6] = false, false, 0, 0
      if entry[7] then
        entry[7][3] = order[1]
      end
    end
  end
  campaigns = keep_if(campaigns, function(entry)
    return entry[3] or entry[4] or entry[5] > 0 or entry[6] > 0 or entry[7] and entry[7][4] > now
  end)
  save_campaigns(KEYS[4], now, campaigns, freed)
end
if ARGV[9] then
  -- What was held is looked at again.
  freed = freeing(freed, '*', order[1])
  save_campaigns(KEYS[4], now, campaigns, freed)
end
latest = save_controls(KEYS[1], now, order[1], pauses, cancelled, limits, latest, order)
save_order(KEYS[2], now, order)
return { now, order[1], pauses, cancelled, limits, latest, { load_lists(KEYS[3]) }, { campaigns, freed } }
