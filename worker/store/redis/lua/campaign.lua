-- KEYS: controls, log, lists of suppressed addresses, campaigns. ARGV: who orders it, the action, shop ('*' is every one), campaign, reason, detail; then
--       for 'campaigns pace' the interval (us) and calls per day (0: none), for 'publish' the kind of what holds the rest
--       ('' for none), for how long (us, 0: until it is released), share (per cent) and window of the brake (0: none) and
--       for how long it is kept (us), whether it is the usual one, which leaves each that is there (1), and whether
--       one that stays counts from nothing (1), for 'brake' the number under which it was armed.
-- The actions are these, 'campaigns pause', 'campaigns resume' and 'campaigns release'. Returns what control.lua returns,
-- or nothing for a brake that was armed anew meanwhile, or whose campaign is held already.
-- worker/model/campaign_orders.py says what each does, and has the names of the fields.
local MOST_CAMPAIGNS_ORDERED = 500
local CAMPAIGN, SHOP, HOLD, REST, INTERVAL, PER_DAY, BRAKE = 1, 2, 3, 4, 5, 6, 7
local UNTIL = 4

local now = now_us()
local version, pauses, cancelled, limits, latest = load_controls(KEYS[1])
cancelled, limits = lasting(cancelled, 3, now), lasting(limits, 5, now)
local campaigns, freed = load_campaigns(KEYS[4])
if damaged[1] then
  return redis.error_reply('DAMAGED')
end
local by, action, shop, campaign, reason, detail = unpack(ARGV)
version = math.max(now, version + 1)

local function found(of, name)
  for _, entry in ipairs(campaigns) do
    if entry[CAMPAIGN] == (name or campaign) and entry[SHOP] == of then
      return entry
    end
  end
  return nil
end

local function own()
  local entry = found(shop)
  if not entry then
    entry = { campaign, shop, false, false, 0, 0, false }
    campaigns[#campaigns + 1] = entry
  end
  return entry
end

-- Changes the entry; for every shop, those of single shops too.
local function everywhere(change)
  for _, entry in ipairs(campaigns) do
    if entry[CAMPAIGN] == campaign and (shop == '*' or entry[SHOP] == shop) then
      change(entry)
    end
  end
end

-- What waits of a campaign at a shop may go, unless it is held still: worker/model/controls.py says why.
local function free(name, of)
  local entry, general = found(of, name), found('*', name)
  if not (entry and entry[HOLD] or general and general[HOLD]) then
    freed = freeing(freed, of, version)
  end
end

-- What was to wait until now goes.
for _, entry in ipairs(campaigns) do
  local rest = entry[REST]
  if rest and rest[UNTIL] > 0 and rest[UNTIL] <= now then
    entry[REST] = false
    free(entry[CAMPAIGN], entry[SHOP])
  end
end

if action == 'campaigns pause' then
  local entry = own()
  entry[HOLD] = { 'paused', reason, entry[HOLD] and entry[HOLD][3] or now }
elseif action == 'campaigns resume' then
  everywhere(function(entry)
    entry[HOLD] = false
    if entry[BRAKE] then
      entry[BRAKE][3] = version
    end
  end)
  free(campaign, shop)
elseif action == 'campaigns pace' then
  local interval, per_day = tonumber(ARGV[7]), tonumber(ARGV[8])
  local function pace(entry)
    entry[INTERVAL], entry[PER_DAY] = interval, per_day
  end
  if interval > 0 or per_day > 0 then
    pace(own())
  else
    everywhere(pace)
  end
  free(campaign, shop)
elseif action == 'campaigns release' then
  everywhere(function(entry) entry[REST] = false end)
  free(campaign, shop)
elseif action == 'publish' then
  local kind, lasts, share, window, kept = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]),
    tonumber(ARGV[11])
  local entry = own()
  if kind ~= '' then
    entry[REST] = { kind, reason, now, lasts > 0 and now + lasts or 0 }
  end
  if window > 0 then
    local usual, anew, general = ARGV[12] == '1', ARGV[13] == '1', found('*')
    -- Copied: that of all shops may be the first to be changed.
    local instead = general and general[BRAKE] and { unpack(general[BRAKE]) }
    everywhere(function(each)
      local old = each[BRAKE] or each == entry and instead
      if old or each == entry then
        local same = old and (usual or old[1] == share and old[2] == window)
        local armed = same and not anew and old[3] or version
        each[BRAKE] = { same and old[1] or share, same and old[2] or window, armed, now + kept }
      end
    end)
  end
elseif action == 'brake' then
  local entry, general = found(shop), found('*')
  local brake = entry and entry[BRAKE] or general and general[BRAKE]
  if entry and entry[HOLD] or general and general[HOLD] or not brake or brake[3] ~= tonumber(ARGV[7]) then
    return
  end
  entry = own()
  -- A copy: resuming this shop arms it for this shop alone.
  entry[HOLD], entry[BRAKE] = { 'brake', reason, now }, { unpack(brake) }
end

local function in_force(entry)
  local brake = entry[BRAKE]
  if brake and brake[UNTIL] <= now then
    entry[BRAKE] = false
  end
  return entry[HOLD] or entry[REST] or entry[INTERVAL] > 0 or entry[PER_DAY] > 0 or entry[BRAKE]
end

-- Whether nothing but a brake stands there, which may be forgotten.
local function only_brakes(entry)
  local ordered = entry[CAMPAIGN] == campaign and entry[SHOP] == shop
  return not (ordered or entry[HOLD] or entry[REST] or entry[INTERVAL] > 0 or entry[PER_DAY] > 0)
end

campaigns = keep_if(campaigns, in_force)
while #campaigns > MOST_CAMPAIGNS_ORDERED do
  local first = nil
  for i, entry in ipairs(campaigns) do
    if only_brakes(entry) and (not first or entry[BRAKE][UNTIL] < campaigns[first][BRAKE][UNTIL]) then
      first = i
    end
  end
  if not first then
    break
  end
  table.remove(campaigns, first)
end

save_campaigns(KEYS[4], now, campaigns, freed)
local order = { version, by, action, shop, campaign, reason, detail }
latest = save_controls(KEYS[1], now, version, pauses, cancelled, limits, latest, order)
save_order(KEYS[2], now, order)
return { now, version, pauses, cancelled, limits, latest, { load_lists(KEYS[3]) }, { campaigns, freed } }
