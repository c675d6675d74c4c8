-- Prepares requests before the transcoder sees them, and refuses those that it would misread.
--
-- 1. A preflight that the CORS filter did not answer comes from another origin: 204 without CORS headers, and the browser refuses.
-- 2. The transcoder does not know HEAD, so it becomes GET. envelope.lua then drops the body of the answer. A HEAD of a stream is
--    answered here, because the body of a watch has no end.
-- 3. Bodies in an encoding that nothing here reads: 415.
-- 4. Query parameters and bodies that the transcoder would merge, drop or overwrite: 422 with the field. The route's metadata contains
--    the rules of the contract (request_rules.py).
-- 5. Large bodies whose values would take the transcoder long: 422.
-- 6. A Last-Event-ID becomes the cursor of a watch that names none.
-- 7. Every path of the web console has the same document.

local GRPC_ENCODINGS = { identity = true, deflate = true, gzip = true }
local BYTE_ORDER_MARK = "\239\187\191"
local DEEPEST = 100 -- levels of JSON; protobuf accepts fewer
local SMALL_BODY = 32768 -- bytes; it cannot hold enough values to take long
local LONGEST_NUMBER = 400 -- characters; the largest double has 309 digits
local byte = string.byte

local function refuse(handle, field, description)
  handle:respond({ [":status"] = "422", ["x-mesh-complaint"] = "1" }, field .. ": " .. description)
end

local function decoded(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- As the contract spells it: the transcoder accepts pageSize for page_size.
local function proto_name(name)
  return (name:gsub("%u", function(letter) return "_" .. letter:lower() end))
end

-- The first query parameter that the transcoder would misread, and what is wrong with it.
local function bad_parameter(query, takes_body, rules)
  local seen = {}
  for part in query:gmatch("[^&]+") do
    local name, equals = part:match("^([^=]*)(=?)")
    local field = proto_name(decoded(name))
    if takes_body then return field, "is a query parameter; send it as a field of the JSON body" end
    if equals == "" then return field, "has no value; write " .. field .. "=VALUE" end
    if rules.in_path[field] then return field, "is set by the path; remove the query parameter" end
    if seen[field] and not rules.repeated[field] then return field, "is given more than once; send it once" end
    seen[field] = true
  end
end

-- For example `tasks[0].depends_on[1]`.
local function path_of(keys, indexes, depth)
  local path = ""
  for level = 1, depth do
    if indexes[level] then
      path = path .. "[" .. indexes[level] .. "]"
    elseif keys[level] then
      path = path .. (path == "" and "" or ".") .. keys[level]
    end
  end
  return path
end

local function unescaped(key)
  if not key:find("\\", 1, true) then return key end
  return (key:gsub("\\u00(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- The position of the quote that ends the string; past the body if none does.
local function string_end(body, quote, at)
  local char = byte(body, at)
  while char and char ~= quote do
    at = at + (char == 92 and 2 or 1) -- a backslash escapes the next character
    char = byte(body, at)
  end
  return at
end

-- The first null in a list of the contract, as `tasks[0].depends_on[1]`. `fields` leads to those lists; what lies elsewhere is free-form
-- or unknown, and its nulls stay. Malformed JSON is left to the transcoder.
--
-- A body may have 4 MiB, so this is one pass over its bytes, in a form that LuaJIT compiles: no patterns and no tables in the loop.
local function null_element(body, fields)
  -- By depth: the contract's node for the values inside (false where it knows none), the index in a list, the key in an object.
  local nodes, indexes, keys = { [0] = { fields = fields } }, {}, {}
  local depth, node, index, key = 0, false, nil, nil
  local from, to = 1, 0 -- of the last string in a known object, or of its bare text
  local at, length = 1, #body
  while at <= length do
    local char = byte(body, at)
    if char == 34 or char == 39 then -- " '
      local last = string_end(body, char, at + 1)
      from, to = at + 1, last - 1
      at = last
    elseif char == 91 or char == 123 then -- [ {
      if depth == DEEPEST then return "body", "is nested more than " .. DEEPEST .. " levels deep at position " .. (at - 1) .. "; send a flatter value" end
      local inner = false
      if depth == 0 then
        inner = nodes[0]
      elseif node then
        inner = index and node or node.fields[key] or false
      end
      if inner and char == 91 and (index or not inner.list) then inner = false end
      nodes[depth + 1], indexes[depth + 1], keys[depth + 1] = inner, char == 91 and 0 or false, false
      indexes[depth], keys[depth] = index or false, key or false
      depth, node, key = depth + 1, inner, nil
      index = char == 91 and 0 or nil
      from, to = at + 1, 0
    elseif char == 93 or char == 125 then -- ] }
      depth = depth - 1
      if depth < 0 then return nil end
      node, index, key = nodes[depth], indexes[depth] or nil, keys[depth] or nil
    elseif node then
      if char == 58 then -- :
        if to < from then to = at - 1 end -- a bare name, which the transcoder accepts
        if to < from then return nil end
        if not index then key = unescaped(body:sub(from, to):match("^%s*(.-)%s*$")) end
        from, to = at + 1, 0
      elseif char == 44 then -- ,
        if index then index = index + 1 end
        from, to = at + 1, 0
      elseif char == 110 and index and body:sub(at, at + 3) == "null" then
        keys[depth], indexes[depth] = false, index
        return path_of(keys, indexes, depth), "must not be null; remove the element"
      end
    end
    at = at + 1
  end
end

-- What makes a body expensive for the transcoder, which needs a microsecond for each value and more for long numbers: nil if nothing does.
-- One pass over the bytes, like null_element.
local function expensive(body, most_values)
  local at, length, values, number = 1, #body, 0, 0
  while at <= length do
    local char = byte(body, at)
    if char == 34 or char == 39 then -- " '
      at = string_end(body, char, at + 1)
      number = 0
    elseif char == 44 or char == 91 or char == 123 then -- , [ {
      values, number = values + 1, 0
      if values > most_values then return "has more than " .. most_values .. " values; send fewer" end
    elseif char <= 32 or char == 58 or char == 93 or char == 125 then -- spaces : ] }
      number = 0
    else
      number = number + 1
      if number > LONGEST_NUMBER then
        return "has a number of more than " .. LONGEST_NUMBER .. " characters at position " .. (at - 1) .. "; send it as a string"
      end
    end
    at = at + 1
  end
end

local function check_body(handle, takes_body)
  local buffer = handle:body()
  local length = buffer and buffer:length() or 0
  if length == 0 then return end
  if not takes_body then return refuse(handle, "body", "this method takes no body; send query parameters") end
  local body = buffer:getBytes(0, length)
  if body:sub(1, 3) == BYTE_ORDER_MARK then
    return refuse(handle, "body", "begins with a byte order mark at position 0; send JSON in UTF-8 without it")
  end
  if length > SMALL_BODY then
    local problem = expensive(body, handle:metadata():get("most_values"))
    if problem then return refuse(handle, "body", problem) end
  end
  if body:find("null", 1, true) then -- only then is the metadata worth converting into a table
    local lists = handle:metadata():get("lists")
    local field, description = nil, nil
    if next(lists) then field, description = null_element(body, lists) end
    if field then refuse(handle, field, description) end
  end
end

local function unsupported_encoding(headers, is_grpc, content_type)
  if is_grpc then
    local asked = headers:get("x-mesh-asked-encoding")
    if not asked then return false end
    headers:remove("x-mesh-asked-encoding")
    return not GRPC_ENCODINGS[asked]
  end
  local encoding = headers:get("content-encoding")
  if encoding and encoding:lower() ~= "identity" then return true end
  if content_type == "application/json" then return false end
  local charset = content_type:lower():match("charset%s*=%s*\"?([^\"; ]+)")
  return charset and charset ~= "utf-8" and charset ~= "utf8" and charset ~= "us-ascii"
end

-- Makes the cursor of a Last-Event-ID, unless the query has one. True for an id that is not the id of an event.
local function resume(headers, query, cursor)
  local id = headers:get("last-event-id")
  if not id or id == "" or cursor == "" then return false end
  if not id:find("^%d+$") or #id > 20 then return true end
  if query and proto_name(decoded("&" .. query)):find("&" .. cursor .. "=", 1, true) then return false end
  local path = headers:get(":path")
  headers:replace(":path", path .. (query and "&" or "?") .. cursor .. "=" .. id)
  return false
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local method = headers:get(":method")
  local content_type = headers:get("content-type") or ""
  local is_grpc = content_type:find("^application/grpc") ~= nil
  if unsupported_encoding(headers, is_grpc, content_type) then return handle:respond({ [":status"] = "415" }, "") end
  if is_grpc then return end
  if method == "OPTIONS" and headers:get("access-control-request-method") then
    return handle:respond({ [":status"] = "204" }, "")
  end
  if method == "GET" or method == "HEAD" then
    local file = handle:metadata():get("file")
    if file == "document" then
      headers:replace("x-envoy-original-path", headers:get(":path")) -- for the access log
      headers:replace(":path", "/index.html")
    end
    if file then return end -- file_server knows HEAD
  end
  if method == "HEAD" and handle:metadata():get("streams") then
    return handle:respond({ [":status"] = "200", ["x-mesh-head"] = "1" }, "")
  end
  if method == "HEAD" then
    headers:replace(":method", "GET")
    headers:replace("x-mesh-head", "1")
    handle:streamInfo():dynamicMetadata():set("agentmesh", "head", true)
  end
  local metadata = handle:metadata()
  local rest = metadata:get("rest")
  if not rest then return end
  local query = (headers:get(":path") or ""):match("%?(.*)$")
  if query then
    local field, description = bad_parameter(query, rest == "body", metadata:get("query"))
    if field then return refuse(handle, field, description) end
  end
  if metadata:get("streams") then
    local cursor = metadata:get("cursor")
    if resume(headers, query, cursor) then return refuse(handle, "last-event-id", "is not the id of an event of this stream; leave it out") end
    handle:streamInfo():dynamicMetadata():set("agentmesh", "event_id", cursor:match("^after_(.+)$") or "sequence")
  end
  check_body(handle, rest == "body")
end
