-- What every script uses. All numbers are integer microseconds or counts below 2^53, which Lua's doubles hold exactly;
-- `int` writes those that `..` would round to 14 digits.

local function now_us()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

local function int(number)
  return string.format('%.0f', number)
end

-- Redis expires by the millisecond; rounded up, so that nothing is forgotten before its time.
local function milliseconds(us)
  return math.ceil(us / 1000)
end

local function put(key, value, keep_until)
  redis.call('SET', key, value, 'PXAT', milliseconds(keep_until))
end
