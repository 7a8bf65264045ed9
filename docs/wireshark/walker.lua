-- Reads ISO 8583 messages in Wireshark and tshark by the tables in front of this text.
--
-- config/publish-dialects.ts puts the tables of all dialects (SWITCHYARD_DIALECTS) in front of this
-- file and writes both to switchyard.lua, which is the file to load. One protocol per dialect, named
-- switchyard_<dialect>; it is chosen by "Decode As" on a TCP port, or by its port preference.
-- Card numbers, tracks, PIN blocks and keys are masked in the tree unless the preference says
-- otherwise; the bytes pane of Wireshark always shows the bytes.
-- Works with Lua 5.1 to 5.4: no bit library, no integer division.

local function bit_is_set(byte, from_left)
  return math.floor(byte / 2 ^ (7 - from_left)) % 2 == 1
end

-- Length prefixes and digits ---------------------------------------------------------------------

local function decimal(range, zero)
  local value = 0
  for i = 0, range:len() - 1 do
    local digit = range(i, 1):uint() - zero
    if digit < 0 or digit > 9 then return nil end
    value = value * 10 + digit
  end
  return value
end

local function packed(range)
  local value = 0
  for i = 0, range:len() - 1 do
    local byte = range(i, 1):uint()
    local high, low = math.floor(byte / 16), byte % 16
    if high > 9 or low > 9 then return nil end
    value = value * 100 + high * 10 + low
  end
  return value
end

local function number_of(range, coding)
  if coding == "ascii" then return decimal(range, 0x30) end
  if coding == "ebcdic" then return decimal(range, 0xF0) end
  if coding == "bcd" then return packed(range) end
  return range:uint()
end

-- Values -----------------------------------------------------------------------------------------

local function hex_of(range)
  return string.upper(tostring(range:bytes()))
end

local function text_of(range, coding)
  if coding == "ebcdic" then return range:string(ENC_EBCDIC) end
  for i = 0, range:len() - 1 do
    if range(i, 1):uint() > 0x7E then return range:string(ENC_GB18030) end
  end
  return range:string(ENC_ASCII)
end

-- Text of a value; count is in the units of the dialect.
local function value_text(range, row, count)
  local coding = row.coding
  if range:len() == 0 then return "" end
  if row.kind == "x+n" and coding ~= "ascii" and coding ~= "ebcdic" then
    local digits = hex_of(range(1))
    return range(0, 1):string(ENC_ASCII) .. string.sub(digits, -(count - 1))
  end
  if coding == "bcd-left" then return string.sub(hex_of(range), 1, count) end
  if coding == "bcd-right" then return string.sub(hex_of(range), -count) end
  if coding == "binary" then return hex_of(range) end
  if coding == "hex-ebcdic" then return text_of(range, "ebcdic") end
  if coding == "hex-ascii" then return text_of(range, "ascii") end
  return text_of(range, coding)
end

local function stars(text)
  return string.rep("*", #text)
end

local function mask_pan(text)
  if not string.match(text, "^%d+$") or #text < 13 then return stars(text) end
  return string.sub(text, 1, 6) .. string.rep("*", #text - 10) .. string.sub(text, -4)
end

local function masked(text, secret)
  if secret == "no" then return text end
  if secret == "pan" then return mask_pan(text) end
  if secret == "track" then
    local pan, rest = string.match(text, "^(%d+)([=D].*)$")
    if pan then return mask_pan(pan) .. string.sub(rest, 1, 1) .. stars(string.sub(rest, 2)) end
  end
  return stars(text)
end

-- Bytes that a count takes on the wire.
local function bytes_of(row, count)
  local coding = row.coding
  if row.kind == "x+n" and string.sub(coding, 1, 3) == "bcd" then return 1 + math.floor(count / 2) end
  if coding == "bcd-left" or coding == "bcd-right" then return math.floor((count + 1) / 2) end
  if coding == "hex-ascii" or coding == "hex-ebcdic" then return count * 2 end
  return count
end

-- The count that a length prefix announces, in the units of the dialect.
local function units_of(row, length)
  if string.sub(row.coding, 1, 3) ~= "bcd" or row.unit == "digits" then return length end
  if row.unit == "bytes-or-digits" and length > math.floor((row.max + 1) / 2) then return length end
  return length * 2
end

-- A message --------------------------------------------------------------------------------------

local function header_bytes(dialect, tvb)
  if dialect.header ~= "visa" or tvb:len() < 1 then return 0 end
  local first = tvb(0, 1):uint()
  if first ~= 22 and first ~= 26 then return 0 end
  if first == 26 and tvb:len() > 27 and tvb(26, 1):uint() == 22 then return 48 end
  return first
end

local function hex_digit(range, coding)
  local digit = tonumber(text_of(range, coding == "hex-ebcdic" and "ebcdic" or "ascii"), 16)
  return digit or 0
end

-- Field numbers that the bitmaps announce, and the offset after them; nil when they do not fit.
local function read_bitmaps(dialect, tvb, at)
  local fields, size = {}, dialect.bitmap == "binary" and 8 or 16
  for index = 0, dialect.bitmaps - 1 do
    if at + size > tvb:len() then return nil end
    local more = false
    for byte = 0, 7 do
      local value
      if size == 8 then value = tvb(at + byte, 1):uint()
      else
        value = hex_digit(tvb(at + byte * 2, 1), dialect.bitmap) * 16 +
          hex_digit(tvb(at + byte * 2 + 1, 1), dialect.bitmap)
      end
      for bit = 0, 7 do
        local number = index * 64 + byte * 8 + bit + 1
        if bit_is_set(value, bit) then
          if byte == 0 and bit == 0 and index < dialect.bitmaps - 1 then more = true
          else fields[#fields + 1] = number end
        end
      end
    end
    at = at + size
    if not more then break end
  end
  return fields, at
end

local function refuse(tree, known, range, field, what)
  local text = field > 0 and ("DE" .. field .. ": " .. what) or what
  tree:add(known.fault, range, text)
  tree:add_proto_expert_info(known.malformed, text)
end

-- One field; the offset after it, or nil when it does not fit.
local function read_field(dialect, known, tvb, at, number, tree)
  local row = dialect.fields[number]
  if not row then return nil, "is not in the dialect" end
  local count, start = row.max, at
  if row.prefix ~= "" then
    if at + row.prefix_bytes > tvb:len() then return nil, "length is cut off" end
    local length = number_of(tvb(at, row.prefix_bytes), row.prefix)
    if not length then return nil, "length is not decimal" end
    count = units_of(row, length)
    if count > row.max then return nil, "length is over the maximum" end
    start = at + row.prefix_bytes
  end
  local size = bytes_of(row, count)
  if start + size > tvb:len() then return nil, "value is cut off" end
  local text = ""
  if size > 0 then text = value_text(tvb(start, size), row, count) end
  if not known.proto.prefs.show_sensitive then text = masked(text, row.secret) end
  local item = tree:add(known.pf[number], tvb(at, math.max(start + size - at, 0)), text)
  item:prepend_text("DE" .. number .. " ")
  return start + size
end

local function dissect_message(dialect, known, tvb, pinfo, tree)
  local branch = tree:add(known.proto, tvb())
  local at = header_bytes(dialect, tvb)
  if at > tvb:len() then return refuse(branch, known, tvb(), 0, "header is cut off") end
  if at > 0 then branch:add(known.header, tvb(0, at), hex_of(tvb(0, at))) end
  local mti_bytes = dialect.mti == "bcd" and 2 or 4
  if at + mti_bytes > tvb:len() then return refuse(branch, known, tvb(), 0, "MTI is cut off") end
  local range = tvb(at, mti_bytes)
  local mti = dialect.mti == "bcd" and hex_of(range) or text_of(range, dialect.mti)
  branch:add(known.mti, range, mti)
  branch:append_text(", MTI " .. mti)
  pinfo.cols.protocol = dialect.name
  pinfo.cols.info = mti .. " (" .. dialect.name .. ")"
  local fields, after = read_bitmaps(dialect, tvb, at + mti_bytes)
  if not fields then return refuse(branch, known, tvb(), 0, "bitmap is cut off") end
  local first = at + mti_bytes
  branch:add(known.bitmap, tvb(first, after - first), table.concat(fields, " "))
  at = after
  for _, number in ipairs(fields) do
    local next_at, why = read_field(dialect, known, tvb, at, number, branch)
    if not next_at then
      local from = math.min(at, tvb:len() - 1)
      return refuse(branch, known, tvb(from), number, why)
    end
    at = next_at
  end
  if at < tvb:len() then refuse(branch, known, tvb(at), 0, "bytes after the last field") end
end

-- Frames -----------------------------------------------------------------------------------------

-- Bytes of the length prefix, of what stands between it and the message, and how the prefix reads.
local FRAMINGS = {
  ["visa"] = { prefix = 4, coding = "visa", envelope = 0 },
  ["cups4"] = { prefix = 4, coding = "ascii", envelope = 46 },
  ["cups"] = { prefix = 0, coding = "cups", envelope = 46 },
  ["2b"] = { prefix = 2, coding = "binary", envelope = 0 },
  ["2b+tpdu"] = { prefix = 2, coding = "binary", envelope = 5 },
  ["2b+tpdu+app"] = { prefix = 2, coding = "binary", envelope = 11 },
  ["4ascii"] = { prefix = 4, coding = "ascii", envelope = 0 },
  ["4b"] = { prefix = 4, coding = "binary", envelope = 0 },
  ["2bcd"] = { prefix = 2, coding = "bcd", envelope = 0 },
}
local FRAMING_NAMES = {
  "usual", "visa", "cups4", "cups", "2b", "2b+tpdu", "2b+tpdu+app", "4ascii", "4b", "2bcd",
}

local function framing_of(dialect, known)
  local chosen = FRAMING_NAMES[known.proto.prefs.framing] or "usual"
  if chosen == "usual" then chosen = dialect.framing end
  return FRAMINGS[chosen] or FRAMINGS["2b"]
end

-- Length of the whole frame at an offset.
local function frame_length(framing, tvb, offset, inclusive)
  if framing.coding == "cups" then
    return number_of(tvb(offset + 2, 4), "ascii") or tvb:len() - offset
  end
  local coding = framing.coding == "visa" and "binary" or framing.coding
  local size = framing.coding == "visa" and 2 or framing.prefix
  local length = number_of(tvb(offset, size), coding)
  if not length then return tvb:len() - offset end
  return inclusive and length or length + framing.prefix
end

local function register(dialect)
  local name = "switchyard_" .. string.gsub(dialect.name, "-", "_")
  local proto = Proto(name, "Switchyard " .. dialect.description)
  local known = {
    proto = proto,
    mti = ProtoField.string(name .. ".mti", "MTI"),
    header = ProtoField.string(name .. ".header", "Header"),
    envelope = ProtoField.string(name .. ".envelope", "Envelope"),
    bitmap = ProtoField.string(name .. ".bitmap", "Fields present"),
    fault = ProtoField.string(name .. ".fault", "Fault"),
    malformed = ProtoExpert.new(name .. ".malformed", "Malformed message",
      expert.group.MALFORMED, expert.severity.ERROR),
    pf = {},
  }
  local all = { known.mti, known.header, known.envelope, known.bitmap, known.fault }
  for number, row in pairs(dialect.fields) do
    known.pf[number] = ProtoField.string(name .. "." .. row.name, row.name)
    all[#all + 1] = known.pf[number]
  end
  proto.fields = all
  proto.experts = { known.malformed }
  local choices = {}
  for i, label in ipairs(FRAMING_NAMES) do choices[i] = { i, label, i } end
  proto.prefs.framing = Pref.enum("Framing", 1, "What stands before the message", choices, false)
  proto.prefs.length_includes_itself = Pref.bool("Length counts itself", false, "")
  proto.prefs.show_sensitive = Pref.bool("Show card data", false, "Do not mask in the tree")

  local function one_frame(tvb, pinfo, tree)
    local framing = framing_of(dialect, known)
    local start = framing.prefix + framing.envelope
    if tvb:len() <= framing.prefix then -- a keep-alive has no message
      pinfo.cols.info = "keep-alive"
      return tvb:len()
    end
    if tvb:len() <= start then return 0 end
    if framing.envelope > 0 then
      local range = tvb(framing.prefix, framing.envelope)
      tree:add(known.envelope, range, hex_of(range))
    end
    dissect_message(dialect, known, tvb(start):tvb(), pinfo, tree)
    return tvb:len()
  end

  local function length_at(tvb, _pinfo, offset)
    return frame_length(framing_of(dialect, known), tvb, offset, proto.prefs.length_includes_itself)
  end

  function proto.dissector(tvb, pinfo, tree)
    local framing = framing_of(dialect, known)
    local least = framing.coding == "cups" and 46 or framing.prefix
    dissect_tcp_pdus(tvb, tree, least, length_at, one_frame)
    return tvb:len()
  end

  DissectorTable.get("tcp.port"):add_for_decode_as(proto)
end

for _, dialect in ipairs(SWITCHYARD_DIALECTS) do register(dialect) end
