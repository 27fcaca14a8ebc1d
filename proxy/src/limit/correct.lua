-- In: states of rates as keys, and for each the microseconds it moves: up for what is owed, down for what goes back. Out: the time, and the states.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local states = {}
for i, key in ipairs(KEYS) do
  local moves = tonumber(ARGV[i])
  local held = redis.pcall('GET', key)
  local state = type(held) == 'string' and #held <= 16 and held:match('^%d+$') and tonumber(held) or 0
  if moves > 0 then
    state = math.max(state, now) + moves
  else
    state = math.max(state + moves, 0)
  end
  if state > now then
    redis.call('SET', key, string.format('%.0f', state), 'PX', string.format('%.0f', math.ceil((state - now) / 1000) + 1))
  else
    redis.call('DEL', key)
  end
  states[i] = state
end
return {now, unpack(states)}
