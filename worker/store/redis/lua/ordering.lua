-- How an order is written down: what is in force, and who gave it.
local MOST_ORDERS, MOST_LATEST, MOST_FREED, YEAR = 1000, 8, 500, 366 * 86400 * 1000000

-- Workers must hear of an order also where nothing stays in force: without the string its version would be gone.
local NEWS = 86400 * 1000000

local function keep_if(list, wanted)
  local kept = {}
  for _, entry in ipairs(list) do
    if wanted(entry) then
      kept[#kept + 1] = entry
    end
  end
  return kept
end

-- Drops entries that have ended; `field` holds when.
local function lasting(list, field, now)
  return keep_if(list, function(entry) return entry[field] > now end)
end

-- Written also when the memory is full: deleted first, so that there is room. A pause must then be possible all the
-- more. `keep_until` is nil for what never ends by itself.
local function write(key, packed, keep_until)
  redis.call('DEL', key)
  if keep_until then
    put(key, packed, keep_until)
  else
    redis.call('SET', key, packed)
  end
end

-- Returns the latest orders, this one among them. `order` is nil for what nobody has ordered.
local function save_controls(key, now, version, pauses, cancelled, limits, latest, order)
  if order then
    table.insert(latest, 1, order)
    latest[MOST_LATEST + 1] = nil
  end
  local keep_until = now + NEWS
  for _, entry in ipairs(cancelled) do
    keep_until = math.max(keep_until, entry[3])
  end
  for _, entry in ipairs(limits) do
    keep_until = math.max(keep_until, entry[5])
  end
  write(key, cmsgpack.pack(version, pauses, cancelled, limits, latest), #pauses == 0 and keep_until or nil)
  return latest
end

local function save_order(key, now, order)
  local entries = load_log(key)
  table.insert(entries, 1, order)
  entries[MOST_ORDERS + 1] = nil
  put(key, cmsgpack.pack(entries), now + YEAR)
end

-- With the version that lets jobs of the shop go ('*': of every shop). Beyond so many shops it lets those of all go.
local function freeing(freed, shop, version)
  local others = keep_if(freed, function(entry) return entry[1] ~= shop end)
  if shop == '*' or #others >= MOST_FREED then
    return { { '*', version } }
  end
  others[#others + 1] = { shop, version }
  return others
end

-- Kept for a year, and for as long as a campaign is held or paced.
local function save_campaigns(key, now, campaigns, freed)
  local keep_until = now + YEAR
  for _, entry in ipairs(campaigns) do
    local _, _, hold, rest, interval, per_day = unpack(entry)
    if hold or rest or interval > 0 or per_day > 0 then
      keep_until = nil
      break
    end
  end
  write(key, cmsgpack.pack(campaigns, freed), keep_until)
end
