-- KEYS: log. Returns the time, and the orders that are remembered, the newest first.
return { now_us(), load_log(KEYS[1]) }
