-- KEYS: controls. ARGV: the version that the caller knows.
-- Returns the time and the version; pauses, cancelled campaigns and limits too if it is another one.
local version, pauses, cancelled, limits = load_controls(KEYS[1])
if version == tonumber(ARGV[1]) then
  return { now_us(), version }
end
return { now_us(), version, pauses, cancelled, limits }
