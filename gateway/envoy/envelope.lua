-- Finishes responses between the transcoder and the client.
--
-- REST: 1. An error of the orchestrator: its trailers contain the finished envelope, which becomes the body.
--       2. An error of the transcoder about the request is plain text, and becomes the envelope of a VALIDATION_ERROR.
--       3. Events get an `id:`, by which a client that reconnects resumes.
--       4. A watch that the orchestrator marks as being at its end is 204: clients of Server-Sent Events then stop reconnecting.
--       5. Headers and trailers that only gRPC needs are removed.
-- The console: its document gets the nonce of its Content-Security-Policy.
-- gRPC: Only one case changes. A server that stops before its calls have ended lets gRPC end them with UNAVAILABLE, which promises that
--       the call was not started and may be sent again. The orchestrator always sends details with UNAVAILABLE; a status without
--       details is replaced by the reply `lost` from the route's metadata.
--
-- Envoy invalidates handles whenever a call such as handle:body() waits, so the headers are fetched again afterwards.

-- Statuses that gRPC sets itself, before the orchestrator's error boundary has seen the call or after it has lost it.
local WITHOUT_ENVELOPE = {
  ["1"] = { code = "CANCELLED", http_status = "499", message = "the call was cancelled" },
  ["4"] = { code = "UPSTREAM_TIMEOUT", http_status = "504", message = "the deadline of the call has passed" },
  ["8"] = { code = "PAYLOAD_TOO_LARGE", http_status = "413", message = "the message is larger than the orchestrator accepts; send less" },
  ["12"] = { code = "NOT_IMPLEMENTED", http_status = "501", message = "this server does not implement the rpc" },
}
local INTERNAL = { code = "INTERNAL", http_status = "500", message = "internal error; quote the request id when you report it" }

local EVENTS = "text/event-stream"
local DOCUMENT = "text/html; charset=utf-8"
local NONCE_PLACEHOLDER = "00000000%-0000%-0000%-0000%-000000000000" -- a pattern; console.py
local LONGEST_COMPLAINT = 2000 -- bytes; the transcoder repeats an invalid value, which can have megabytes

local function quoted(text)
  local escaped = text:gsub('[%c"\\]', function(char) return string.format("\\u%04x", char:byte()) end)
  return '"' .. escaped .. '"'
end

local function envelope(request_id, code, message, details)
  return '{"error":{"code":"' .. code .. '","details":' .. details .. ',"message":' .. quoted(message)
    .. ',"request_id":"' .. request_id .. '","timestamp":"' .. os.date("!%Y-%m-%dT%H:%M:%SZ") .. '"}}\n'
end

-- The field and its error, parsed from the transcoder's message; nil if the message names no field.
local function violation(complaint)
  local unknown = complaint:match('^Could not find field "([^"]*)"')
  if unknown then return unknown, "is not a parameter of this path" end
  local twice = complaint:match("^The binding value .* of the field ([%w_%.]+) is conflicting")
  if twice then return twice, "has one value in the path and another in the body; send it once" end
  local scalar = complaint:match("^invalid value Starting an? %a+ on a scalar field for type ([%w_%.]+)$")
  if scalar then return scalar, "must be a single value, not an object or a list" end
  return complaint:match("^([%w_%.%[%]-]+): (.+)$")
end

-- Plain texts for the transcoder's complaints that a caller can act on. Its other complaints are about the syntax of JSON.
local PLAIN = {
  ["Proto field is not repeating, cannot start list."] = "a list was sent for a field that takes a single value; send the value alone",
  ["Root element must be a message."] = "the body must be a JSON object",
  ["Number exceeds the range of double."] = "a number is too large for JSON; send it as a string",
  ["Encountered non UTF-8 code points."] = "the body is not valid UTF-8; encode it as UTF-8",
}

local function invalid(complaint)
  if PLAIN[complaint] then return PLAIN[complaint] end
  if complaint:find("^%u[%w ,'%]}:.-]+%.?$") then return "the body is not valid JSON: " .. complaint end
  return "the request is invalid: " .. complaint
end

local function validation_error(request_id, text)
  local complaint = text:gsub("\n.*", ""):gsub("^: ", ""):gsub("TYPE_(%u+%d*)", string.lower):gsub("type%.googleapis%.com/", "")
  local field, description = violation(complaint)
  if not field then return envelope(request_id, "VALIDATION_ERROR", invalid(complaint), "{}") end
  local details = '{"field_violations":[{"description":' .. quoted(description) .. ',"field":' .. quoted(field) .. "}]}"
  return envelope(request_id, "VALIDATION_ERROR", field .. ": " .. description, details)
end

-- A complaint, cut before the first byte of a character if it is long.
local function beginning(buffer)
  local length = buffer:length()
  if length <= LONGEST_COMPLAINT then return buffer:getBytes(0, length) end
  return (buffer:getBytes(0, LONGEST_COMPLAINT):gsub("[\192-\255]?[\128-\191]*$", "")) .. "…"
end

local function put(handle, http_status, body, retry_after, challenge)
  local length = handle:body(true):setBytes(body)
  local headers = handle:headers()
  headers:replace(":status", http_status)
  headers:replace("content-type", "application/json")
  headers:replace("content-length", tostring(length))
  headers:replace("cache-control", "no-store")
  if retry_after then headers:replace("retry-after", retry_after) end
  if challenge then headers:replace("www-authenticate", challenge) end
end

local function put_service_error(handle)
  handle:body(true) -- waits for the trailers if the orchestrator has sent headers before them
  local headers = handle:headers()
  local source = headers:get("x-mesh-envelope") and headers or handle:trailers() or headers
  local body = source:get("x-mesh-envelope")
  if body then return put(handle, source:get("x-mesh-status"), body, source:get("retry-after"), source:get("www-authenticate")) end
  local status = headers:get("grpc-status")
  local reply = status == "14" and handle:metadata():get("lost") or WITHOUT_ENVELOPE[status] or INTERNAL
  local text = envelope(headers:get("x-request-id") or "", reply.code, reply.message, reply.details or "{}")
  put(handle, reply.http_status, text, reply.retry_after)
end

local function strip(map)
  local gone = {}
  for name in pairs(map) do
    if name:find("^grpc%-") or name:find("^x%-mesh%-") then gone[#gone + 1] = name end
  end
  for _, name in ipairs(gone) do map:remove(name) end
end

-- Keeps the gRPC status for the access log, which runs after it has been removed.
local function note(handle, grpc_status)
  if grpc_status then handle:streamInfo():dynamicMetadata():set("agentmesh", "grpc_status", grpc_status) end
end

-- requests.lua changed HEAD to GET. The content-length stays that of the GET.
local function drop_body_of_head(handle)
  local seen = handle:streamInfo():dynamicMetadata():get("agentmesh")
  if not (seen and seen.head) then return end
  local length = handle:headers():get("content-length")
  handle:body(true):setBytes("")
  local headers = handle:headers()
  if length then headers:replace("content-length", length) end
end

-- The id of an event: its sequence, or the position in the log that the contract makes the cursor. Free-form data comes before it.
local ID_OF = {
  sequence = function(sequence) return sequence end,
  position = function(_, event) return event:match('.*"position":"(%d+)"') end,
}

-- The transcoder writes each event as one line, `data: {"sequence":1,…}`; JSON escapes quotes inside strings, so nothing else looks so.
local function add_ids(handle)
  local seen = handle:streamInfo():dynamicMetadata():get("agentmesh")
  local id_of = ID_OF[seen and seen.event_id or "sequence"] or ID_OF.sequence
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    if length > 0 then
      local text, changed = chunk:getBytes(0, length):gsub('data: ({"sequence":(%d+),[^\n]*)', function(event, sequence)
        local id = id_of(sequence, event)
        return id and "id: " .. id .. "\ndata: " .. event
      end)
      if changed > 0 then chunk:setBytes(text) end
    end
  end
end

local function rest(handle, headers)
  local grpc_status = headers:get("grpc-status")
  local events = false
  note(handle, grpc_status)
  if headers:get("x-mesh-complaint") then
    local request_id = headers:get("x-request-id")
    local text = handle:body(true)
    put(handle, "422", validation_error(request_id, beginning(text)))
  elseif grpc_status and grpc_status ~= "0" then
    put_service_error(handle)
  elseif headers:get("x-mesh-status") == "204" then
    headers:replace(":status", "204")
    headers:remove("content-type")
    headers:remove("content-length")
  else
    events = headers:get("content-type") == EVENTS
    if events then headers:replace("content-type", EVENTS .. "; charset=utf-8") end
    if not headers:get("cache-control") then headers:add("cache-control", "no-store") end
  end
  strip(handle:headers())
  drop_body_of_head(handle)
  if events then add_ids(handle) end
  if grpc_status and handle:streamInfo():protocol() ~= "HTTP/2" then return end -- Envoy drops trailers on HTTP/1.1
  local trailers = handle:trailers()
  if not trailers then return end
  note(handle, trailers:get("grpc-status"))
  strip(trailers)
end

-- Writes the nonce of this response's policy into the document of the console. It is as long as its placeholder (console.py).
local function put_nonce(handle, headers)
  local nonce = (headers:get("content-security-policy") or ""):match("'nonce%-([%w-]+)'")
  local document = nonce and handle:body()
  if document then document:setBytes((document:getBytes(0, document:length()):gsub(NONCE_PLACEHOLDER, nonce))) end
end

local function native(handle, headers)
  local map = headers:get("grpc-status") and headers or handle:trailers()
  if not map then return end
  note(handle, map:get("grpc-status"))
  if map:get("grpc-status") ~= "14" or map:get("grpc-status-details-bin") then return end
  local lost = handle:metadata():get("lost")
  if not lost then return end
  map:replace("grpc-status", lost.grpc_status)
  map:replace("grpc-message", lost.grpc_message)
  map:replace("grpc-status-details-bin", lost.grpc_details)
end

-- REST errors have a status other than 200. gRPC errors have status 200 and, when Envoy makes them for gRPC-Web, no content type.
local REST = { ["application/json"] = true, [EVENTS] = true }

function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get("x-mesh-head") then -- requests.lua has answered the HEAD of a stream
    headers:remove("x-mesh-head")
    headers:replace("content-type", EVENTS .. "; charset=utf-8")
    headers:replace("content-length", "0") -- or Envoy would announce chunks
    return headers:replace("cache-control", "no-store")
  end
  local content_type = headers:get("content-type")
  if headers:get(":status") ~= "200" or REST[content_type] then
    rest(handle, headers)
  elseif content_type == DOCUMENT then
    put_nonce(handle, headers)
  else
    native(handle, headers)
  end
end
