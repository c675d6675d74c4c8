-- Writes the text of an attempt, unless an attempt with a higher epoch has written one.
--
-- KEYS[1]: the text: a head of fixed width, which begins with the epoch and ends with the flag `truncated`, then UTF-8.
-- ARGV: the head; the bytes of the text that are written already; what follows them; the seconds to keep the text (0: delete it).
-- Returns 1 if it is written; 0 if the text belongs to a later attempt; -1 if the text is not the one to which the bytes belong, because
-- Redis has lost it: then write the whole text, after 0 bytes.
local key, head, written, added, seconds = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local found = redis.call('GETRANGE', key, 0, #head - 1)
if found:sub(1, 10) > head:sub(1, 10) then return 0 end
if seconds == 0 then
  redis.call('UNLINK', key)
elseif written == 0 then
  redis.call('SET', key, head .. added, 'EX', seconds)
elseif found:sub(1, -2) ~= head:sub(1, -2) or redis.call('STRLEN', key) ~= #head + written then
  return -1
else
  redis.call('SETRANGE', key, 0, head)
  redis.call('APPEND', key, added)
  redis.call('EXPIRE', key, seconds)
end
return 1
