-- Takes tokens for a group of calls, and tells which of the keys that they watch exist.
--
-- KEYS: for each call its buckets, then the keys that it watches. The value of a bucket is the time in µs at which it will be full
-- (generic cell rate algorithm); it expires then.
-- ARGV: for each call the number of its buckets and of its watched keys, and for each bucket the µs until the call's tokens come back,
-- the µs until an empty bucket is full, and how many times as much to take ahead for later calls, if that leaves the bucket no debt.
-- Returns for each call: the bucket that refused (0: none, and each gave its tokens), the µs until that bucket has them, 0 or 1 for each
-- watched key, and how many times as much each bucket gave ahead. A call whose first watched key exists takes nothing.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local key, arg, answers = 0, 0, {}

local function due(name, interval, capacity)
  local full_at = tonumber(redis.call('GET', name) or now)
  -- At most the time of an empty bucket: the clock may have been set back.
  return math.min(math.max(full_at, now), now + capacity) + interval
end

while arg < #ARGV do
  local buckets, watched = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
  local refused_by, wait, fulls, present, ahead = 0, 0, {}, {}, {}
  for i = 1, watched do present[i] = redis.call('EXISTS', KEYS[key + buckets + i]) end
  if present[1] ~= 1 then
    for i = 1, buckets do
      local interval, capacity = tonumber(ARGV[arg + 3 * i]), tonumber(ARGV[arg + 1 + 3 * i])
      ahead[i] = tonumber(ARGV[arg + 2 + 3 * i])
      fulls[i] = due(KEYS[key + i], interval, capacity)
      if refused_by == 0 and fulls[i] > now + capacity then
        refused_by, wait = i, fulls[i] - now - capacity
      elseif fulls[i] + ahead[i] * interval > now + capacity then
        ahead[i] = 0
      else
        fulls[i] = fulls[i] + ahead[i] * interval
      end
    end
    if refused_by == 0 then
      for i = 1, buckets do
        redis.call('SET', KEYS[key + i], string.format('%.0f', fulls[i]), 'PX', math.max(1, math.ceil((fulls[i] - now) / 1000)))
      end
    end
  end
  answers[#answers + 1] = refused_by
  answers[#answers + 1] = wait
  for i = 1, watched do answers[#answers + 1] = present[i] end
  for i = 1, buckets do answers[#answers + 1] = refused_by == 0 and ahead[i] or 0 end
  key, arg = key + buckets + watched, arg + 2 + 3 * buckets
end
return answers
