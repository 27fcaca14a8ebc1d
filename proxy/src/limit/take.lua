-- In: states of rates as keys; for each its limit, window, and the least and the most units wanted. Out: 1 when all of them were taken, else 0
-- and nothing was; the time; and for each rate the units and its state, afterwards or as it stays.
-- The arithmetic is core/src/rate.rs, in whole microseconds by this server's clock: every number stays below 2^53, where doubles are exact.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- Quotient and remainder of a * b / c, for a and c below 2^37 and b below 2^31.
local function scaled(a, b, c)
  local upper = a * math.floor(b / 32768)
  local lower = math.fmod(upper, c) * 32768 + a * math.fmod(b, 32768)
  return math.floor(upper / c) * 32768 + math.floor(lower / c), math.fmod(lower, c)
end

local admitted = 1
local found, after = {}, {}
for i, key in ipairs(KEYS) do
  local limit, window = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2])
  local least, most = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  -- What is no state of ours is no state.
  local held = redis.pcall('GET', key)
  local state = type(held) == 'string' and #held <= 16 and held:match('^%d+$') and tonumber(held) or 0
  local whole_at = math.max(state, now)
  local remaining = scaled(math.max(window - (whole_at - now), 0), limit, window)
  local units = math.min(most, math.max(remaining, least))
  found[2 * i - 1], found[2 * i], after[i] = units, state, whole_at
  if units > limit then
    admitted = 0
  else
    local cost, rest = scaled(window, units, limit)
    if rest > 0 then cost = cost + 1 end
    after[i] = whole_at + cost
    if after[i] > now + window then admitted = 0 end
  end
end
if admitted == 1 then
  for i, key in ipairs(KEYS) do
    found[2 * i] = after[i]
    -- A state in the past is as good as none; one millisecond more, for expiry is counted in whole ones.
    redis.call('SET', key, string.format('%.0f', after[i]), 'PX', string.format('%.0f', math.ceil((after[i] - now) / 1000) + 1))
  end
end
return {admitted, now, unpack(found)}
