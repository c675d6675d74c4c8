-- Prepares requests before the transcoder sees them.
--
-- 1. A preflight that the CORS filter did not answer comes from a foreign origin: 204 without CORS headers, and the browser refuses.
-- 2. The transcoder does not know HEAD, so it becomes GET. envelope.lua then drops the body of the answer.

local function is_grpc(headers)
  return (headers:get("content-type") or ""):find("^application/grpc") ~= nil
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local method = headers:get(":method")
  if method == "OPTIONS" and headers:get("access-control-request-method") then
    handle:respond({ [":status"] = "204" }, "")
  elseif method == "HEAD" and not is_grpc(headers) then
    headers:replace(":method", "GET")
    headers:replace("x-mesh-head", "1")
    handle:streamInfo():dynamicMetadata():set("agentmesh", "head", true)
  end
end
