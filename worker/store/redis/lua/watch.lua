-- KEYS: controls, lanes, a key that never exists, lists of suppressed addresses, campaigns, since when there are data.
-- ARGV: the version that the caller knows, and anything for a worker.
-- Returns {since or nil, {time, version, ...}}: since when there are data, nil for who is no worker, and what is ordered;
-- or {since or nil, {time, keys that can't be read}}. Behind another version than the caller's are pauses, cancelled
-- campaigns, limits, latest orders, what is known of the lists, orders about campaigns, and the lanes with 1 before them
-- if they are all.

-- The write makes this fail on a replica, which takes no grant and no answer, and for a worker where there is no memory
-- left, too. A worker that read its orders there would believe once a second that its store is back, and stay ready for
-- as long as that lasts. A command may read them to show them, and its key never exists, so nothing is written. What a
-- worker writes is there already, unless the data were lost: then workers see another time, however little they know of
-- what there was.
local since = false
if ARGV[2] then
  redis.call('SET', KEYS[6], now_us(), 'NX')
  since = redis.pcall('GET', KEYS[6])
  if type(since) ~= 'string' then
    -- Somebody else has written there, perhaps in place of what there was: that is another time, too.
    redis.call('SET', KEYS[6], now_us())
    since = redis.call('GET', KEYS[6])
  end
else
  redis.call('DEL', KEYS[3])
end

local version, pauses, cancelled, limits, latest = load_controls(KEYS[1])
if version == tonumber(ARGV[1]) and not damaged[1] then
  return { since, { now_us(), version } }
end
local reply = { now_us(), version, pauses, cancelled, limits, latest, { load_lists(KEYS[4]) },
                { load_campaigns(KEYS[5]) }, { load_lanes(KEYS[2]) } }
return { since, damaged[1] and { reply[1], damaged } or reply }
