-- Rejects calls at the gateway while the orchestrator rejects too many itself, and those of unknown callers first.
--
-- A rejection by the orchestrator costs CPU in both processes and waits for its event loop; a rejection here costs neither. This is the
-- client-side throttling of Google's SRE book (chapter "Handling Overload"): the gateway forwards 1.5 times as many calls as the
-- orchestrator has accepted lately, so that it notices quickly when the orchestrator accepts more. Each worker thread of Envoy counts for
-- itself, and known and unknown callers separately, because the orchestrator has room for known callers when others find none. It marks
-- its rejections with x-mesh-overloaded (`known` for a known caller); this filter removes that header.
--
-- A caller is known if the orchestrator has accepted its credential within the last minute. Only the orchestrator can tell: where this
-- filter does not know a credential, it sends its hash along in x-mesh-ask, and the orchestrator returns it in x-mesh-accepted with a
-- successful answer to a call that needs a credential. So a made-up credential is never stored. The clients' own x-mesh headers are removed
-- before this filter.

local MARK, ASK, ACCEPTED = "x-mesh-overloaded", "x-mesh-ask", "x-mesh-accepted"
local MORE = 1.5
local HALF_LIFE_MS = 250
local FEWEST = 5 -- below this many recent calls, none is rejected here
local ALWAYS = 0.05 -- this share is always forwarded, so that the gateway notices when an orchestrator recovers
local KNOWN_MS, ASK_AGAIN_MS = 60000, 30000
local HASHED = 64 -- the last bytes of a credential: they include the whole signature of a token, and the whole API key
local PRIME = 35184372088777 -- just below 2^45, so that the products below are exact in doubles
local byte = string.byte

local counted_at = 0
local known_callers, strangers = { calls = 0, accepted = 0 }, { calls = 0, accepted = 0 }
-- Hashes of accepted credentials and when they were accepted, in two generations: when `recent` is full or a minute old, it becomes
-- `older`. Neither holds more than KNOWN_CALLERS.
local recent, older, recent_size, recent_since = {}, {}, 0, 0

-- The route's metadata have the kind of the rpc. Probes, and what has no kind because Envoy answers it itself, are always forwarded.
local function is_call(handle)
  local kind = handle:metadata():get("kind")
  return kind and kind ~= "probe"
end

local function forget(now)
  local kept = 0.5 ^ ((now - counted_at) / HALF_LIFE_MS)
  counted_at = now
  known_callers.calls, known_callers.accepted = known_callers.calls * kept, known_callers.accepted * kept
  strangers.calls, strangers.accepted = strangers.calls * kept, strangers.accepted * kept
end

local function hash(credential)
  local length = #credential
  local sum = length
  for at = math.max(1, length - HASHED + 1), length do sum = (sum * 251 + byte(credential, at)) % PRIME end
  return sum
end

local function remember(who, now, most)
  if recent_size >= most or now - recent_since >= KNOWN_MS then
    older, recent, recent_size, recent_since = recent, {}, 0, now
  end
  if not recent[who] then recent_size = recent_size + 1 end
  recent[who] = now
end

function envoy_on_request(handle)
  if not is_call(handle) then return end
  local now, headers = handle:timestamp(), handle:headers()
  local credential = headers:get("authorization") or headers:get("x-api-key")
  local who = credential and hash(credential)
  local age = now - (who and (recent[who] or older[who]) or 0)
  local group = age < KNOWN_MS and known_callers or strangers
  forget(now)
  group.calls = group.calls + 1
  local share = math.min(1 - ALWAYS, 1 - MORE * group.accepted / group.calls)
  if group.calls > FEWEST and math.random() < share then
    local known = group == known_callers
    -- Counted by limit in rate_limit_refused_total: the platform counts no refusal that does not reach it.
    handle:streamInfo():dynamicMetadata():set("agentmesh", "refused", known and "calls_in_overload" or "calls_of_unknown_callers")
    return handle:respond({ [":status"] = known and "503" or "429" }, "")
  end
  group.accepted = group.accepted + 1 -- until the orchestrator rejects it
  if who and age >= ASK_AGAIN_MS then headers:add(ASK, tostring(who)) end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local rejected = headers:get(MARK)
  if rejected then
    headers:remove(MARK)
    local group = rejected == "known" and known_callers or strangers
    group.accepted = math.max(0, group.accepted - 1)
  end
  local who = headers:get(ACCEPTED)
  if who then
    headers:remove(ACCEPTED)
    remember(tonumber(who), handle:timestamp(), handle:filterContext():get("known_callers"))
  end
end
