-- Rejects calls at the gateway while the orchestrator rejects too many itself.
--
-- A rejection by the orchestrator costs CPU in both processes and waits for its event loop; a rejection here costs neither. This is the
-- client-side throttling of Google's SRE book (chapter "Handling Overload"): the gateway forwards 1.5 times as many calls as the
-- orchestrator has accepted lately, so that it notices quickly when the orchestrator accepts more. Each worker thread of Envoy counts for
-- itself. The orchestrator marks its rejections with x-mesh-overloaded; this filter removes that header.

local MARK = "x-mesh-overloaded"
local MORE = 1.5
local HALF_LIFE_MS = 250
local FEWEST = 5 -- below this many recent calls, none is rejected here
local ALWAYS = 0.05 -- this share is always forwarded, so that the gateway notices when an orchestrator recovers

local calls, accepted, counted_at = 0, 0, 0

-- The route's metadata have the kind of the rpc. Probes, and what has no kind because Envoy answers it itself, are always forwarded.
local function is_call(handle)
  local kind = handle:metadata():get("kind")
  return kind and kind ~= "probe"
end

local function forget(now)
  local kept = 0.5 ^ ((now - counted_at) / HALF_LIFE_MS)
  calls, accepted, counted_at = calls * kept, accepted * kept, now
end

function envoy_on_request(handle)
  if not is_call(handle) then return end
  forget(handle:timestamp())
  calls = calls + 1
  local share = math.min(1 - ALWAYS, 1 - MORE * accepted / calls)
  if calls > FEWEST and math.random() < share then
    handle:respond({ [":status"] = "503" }, "")
  else
    accepted = accepted + 1 -- until the orchestrator rejects it
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get(MARK) then
    headers:remove(MARK)
    accepted = math.max(0, accepted - 1)
  end
end
