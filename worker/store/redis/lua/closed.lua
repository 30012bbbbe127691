-- KEYS: workers that call nobody. ARGV: for how long what follows is kept (us), a worker, and why; nothing to ask only.
-- Returns {worker, why} of each, with when it is forgotten.
local now = now_us()
local readable, workers = pcall(unpacked, KEYS[1])
local kept = {}
for _, noted in ipairs(readable and type(workers) == 'table' and workers or {}) do
  if type(noted) == 'table' and type(noted[3]) == 'number' and noted[3] > now and noted[1] ~= ARGV[2] then
    kept[#kept + 1] = noted
  end
end
if ARGV[2] then
  local until_us = now + tonumber(ARGV[1])
  kept[#kept + 1] = { ARGV[2], ARGV[3], until_us }
  put(KEYS[1], cmsgpack.pack(kept), until_us)
end
return kept
