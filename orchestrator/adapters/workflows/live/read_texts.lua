-- Reads what follows the known part of many texts; see write_text.lua.
--
-- KEYS: the texts. ARGV: the width of a head; then for each text its known head (empty: none) and the bytes of the text that are known.
-- Returns for each text the head and what follows: after the known bytes if the attempt is the same, otherwise the whole text. An empty
-- head: nothing new.
local width, answers = tonumber(ARGV[1]), {}
for i, key in ipairs(KEYS) do
  local known, bytes = ARGV[2 * i], tonumber(ARGV[2 * i + 1])
  local head, rest = redis.call('GETRANGE', key, 0, width - 1), ''
  if #head == width then
    if head:sub(1, -2) ~= known:sub(1, -2) then bytes = 0 end
    rest = redis.call('GETRANGE', key, width + bytes, -1)
    if head == known and rest == '' then head = '' end
  end
  answers[2 * i - 1], answers[2 * i] = head, rest
end
return answers
