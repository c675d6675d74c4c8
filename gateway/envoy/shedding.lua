-- Turns calls away at the gateway when the orchestrator turns too many away itself.
--
-- A refusal by the orchestrator costs both of them some CPU, and waits for its event loop; one made here costs neither. This is the
-- client-side throttling of Google's SRE book (chapter "Handling Overload"): of all calls as many are let through as the orchestrator
-- has lately accepted, and half as many more, so that the gateway soon learns of it when it accepts more. Each worker thread of Envoy
-- has its own figures. The orchestrator marks its refusals with x-mesh-overloaded; nobody else sees that header.

local MARK = "x-mesh-overloaded"
local MORE = 1.5
local HALF_LIFE_MS = 250
local FEWEST = 5 -- of so few calls none is turned away here
local ALWAYS = 0.05 -- of all calls are let through, or an orchestrator that accepted none would be forgotten

local calls, accepted, counted_at = 0, 0, 0

-- What answers for the platform's state, or is Envoy's own, is always let through.
local function is_call(headers)
  local path, method = headers:get(":path") or "", headers:get(":method")
  return method ~= "OPTIONS" and (path:find("^/api/") or path:find("^/agentmesh%.")) and not path:find("PlatformService/", 1, true)
end

local function forget(now)
  local kept = 0.5 ^ ((now - counted_at) / HALF_LIFE_MS)
  calls, accepted, counted_at = calls * kept, accepted * kept, now
end

function envoy_on_request(handle)
  if not is_call(handle:headers()) then return end
  forget(handle:timestamp())
  calls = calls + 1
  local share = math.min(1 - ALWAYS, 1 - MORE * accepted / calls)
  if calls > FEWEST and math.random() < share then
    handle:respond({ [":status"] = "503" }, "")
  else
    accepted = accepted + 1 -- until the orchestrator says otherwise
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get(MARK) then
    headers:remove(MARK)
    accepted = math.max(0, accepted - 1)
  end
end
