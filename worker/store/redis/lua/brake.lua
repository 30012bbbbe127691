-- The last results of a campaign at a shop, in a string of its own: the number under which its brake was armed, where the
-- next result goes, how many are bad, a byte for each result, and the codes that these stand for (0: a good one).
local MOST_CODES, OTHER = 254, 255

local function code_number(codes, code)
  for number, known in ipairs(codes) do
    if known == code then
      return number
    end
  end
  if #codes == MOST_CODES then
    return OTHER
  end
  codes[#codes + 1] = code
  return #codes
end

-- The code that most of the bad results have, and how many.
local function leading_code(ring, codes)
  local counts, first = {}, OTHER
  counts[OTHER] = 0
  for i = 1, #ring do
    local number = string.byte(ring, i)
    counts[number] = (counts[number] or 0) + 1
    if number > 0 and counts[number] > counts[first] then
      first = number
    end
  end
  return codes[first] or 'other', counts[first]
end

-- Counts a result with this code ('' for a good one). Returns {bad results, leading code, how many have it} if more of a
-- full window are bad than the share (per cent) allows; nothing for a brake that was armed anew meanwhile.
local function count_result(key, share, window, armed, code, keep_until)
  local at, bad, ring, codes = 0, 0, '', {}
  local packed = redis.call('GET', key)
  if packed then
    local known, known_at, known_bad, known_ring, known_codes = cmsgpack.unpack(packed)
    if known > armed then
      return nil
    elseif known == armed then
      at, bad, ring, codes = known_at, known_bad, known_ring, known_codes
    end
  end
  if #ring == window and string.byte(ring, at + 1) > 0 then
    bad = bad - 1
  end
  local result = 0
  if code ~= '' then
    result, bad = code_number(codes, code), bad + 1
  end
  ring = string.sub(ring, 1, at) .. string.char(result) .. string.sub(ring, at + 2)
  put(key, cmsgpack.pack(armed, (at + 1) % window, bad, ring, codes), keep_until)
  if #ring == window and bad * 100 > share * window then
    local leading, of_code = leading_code(ring, codes)
    return { bad, leading, of_code }
  end
  return nil
end
