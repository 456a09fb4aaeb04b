#!lua name=sse
-- The durable publish as one atomic step. proto/README.md holds the contract. sse-publisher loads this file when it starts; by hand:
-- redis-cli -x FUNCTION LOAD REPLACE < proto/bus/sse.lua
--
--   FCALL sse_publish 1 PREFIX:NAME DATA [option value]...   ->   id, position, "published" | "duplicate" | "unchanged"
--
-- Everything that can be refused is refused before the first write, so a call does all of its work or none. (While Redis loads a
-- library its globals are not there yet, so none of them are kept in locals out here.)

local REMEMBER = 300 -- seconds that ids and idempotency keys are known
local MARKED = 604800 -- seconds that the last position is known after the history has gone: a week, MARKER_MS of proto/bus/marker.h
local TEXT_MAX = 200 -- bytes of a channel name, a type, an id, a key
local PREFIX_MAX = 33 -- bytes of REDIS_PREFIX with its colon: "sse:"
local AUTHOR_MAX = 8192 -- bytes of an author's name
local RETRY_MAX = 3600000 -- milliseconds: an hour
local LEASE_MAX = 86400 -- seconds: a day
local COUNT_MAX = 2147483647 -- for maxlen, maxdata and ttl: far from where XADD and EXPIRE would refuse
local BYTES_MAX = 2 ^ 50 -- for maxbytes: a double counts far beyond it
local AHEAD_MAX = 86400000 -- milliseconds that a marker may be ahead of the clock: a day
local STEPS = 16 -- a history is trimmed each time this part of maxbytes was added
local MARKS_MAX = 64 -- of a history
local LOOK = 16 -- entries in which the last event is looked for, where there is no marker
local MS_MAX, SEQ_MAX = 2 ^ 48 - 1, 2 ^ 24 - 1 -- what an event id has room for

-- Whether this is a node of a Redis Cluster: there, and only there, keys of two slots can't be read together. Found out at the first call, by a user who may do that.
local in_cluster

local function is_cluster(prefix)
    local one, other = "{" .. prefix .. "a}:log", "{" .. prefix .. "b}:log"
    if in_cluster == nil and redis.acl_check_cmd("EXISTS", one, other) then
        in_cluster = type(redis.pcall("EXISTS", one, other)) == "table"
    end
    return in_cluster
end

-- The prefix of a key, "sse:", and the channel's name; nil where the key has none. Names may hold colons, prefixes end with their only one.
local function split(key)
    local prefix, name = string.match(key, "^([A-Za-z0-9_-]+:)(.*)$")
    if prefix and #prefix <= PREFIX_MAX then
        return prefix, name
    end
end

-- The hash of proto/event_id.c: 2^32 * 1664525 + 255 is below 2^53, so a double holds every step exactly.
local function hash(from, text)
    local bytes = { string.byte(text, 1, -1) }
    for i = 1, #bytes do
        from = (from * 1664525 + bytes[i]) % 4294967296
    end
    return from
end

-- The UUID that says where the event stands; proto/event_id.h draws it.
local function event_id(name, ms, seq, position)
    local channel = hash(1013904223, name)
    local sum = hash(channel, position)
    return string.format("%08x-%04x-4%03x-8%03x-%04x%08x", math.floor(ms / 65536), ms % 65536, math.floor(seq / 4096), seq % 4096,
        bit.bxor(math.floor(sum / 65536), sum % 65536), channel)
end

-- What an id of the bus's own form says: milliseconds, sequence number and the hash of its channel; nil for any other text.
local function place_of(id)
    local m1, m2, s1, s2, check, of = string.match(id, "^(%x%x%x%x%x%x%x%x)%-(%x%x%x%x)%-[48](%x%x%x)%-8(%x%x%x)%-(%x%x%x%x)(%x%x%x%x%x%x%x%x)$")
    if not m1 or string.find(id, "%u") then
        return nil
    end
    local ms, seq, channel = tonumber(m1 .. m2, 16), tonumber(s1 .. s2, 16), tonumber(of, 16)
    local sum = hash(channel, string.format("%d-%d", ms, seq))
    if bit.tohex(bit.bxor(math.floor(sum / 65536), sum % 65536), 4) == check then
        return ms, seq, channel
    end
end

-- RFC 3629 section 4, row by row.
local sequences = {
    "^[\194-\223][\128-\191]()", "^\224[\160-\191][\128-\191]()", "^[\225-\236][\128-\191][\128-\191]()",
    "^\237[\128-\159][\128-\191]()", "^[\238-\239][\128-\191][\128-\191]()", "^\240[\144-\191][\128-\191][\128-\191]()",
    "^[\241-\243][\128-\191][\128-\191][\128-\191]()", "^\244[\128-\143][\128-\191][\128-\191]()",
}

local function utf8_valid(text)
    local at = string.find(text, "[\128-\255]")
    while at do
        local after
        for i = 1, #sequences do
            after = after or string.match(text, sequences[i], at)
        end
        if not after then
            return false
        end
        at = string.find(text, "[\128-\255]", after)
    end
    return true
end

-- The fault functions return a sentence, or nil where there is no fault.

local function channel_fault(keys)
    local _, name = split(keys[1] or "")
    if #keys ~= 1 or not name then
        return "wants one key, PREFIX:NAME, as in sse:news"
    elseif name == "" or #name > TEXT_MAX then
        return "the channel name is not 1 to 200 bytes long"
    elseif string.byte(name) == 47 then
        return "the channel name begins with '/'"
    elseif string.find(name, "[^A-Za-z0-9._~:/@+,%-]") then
        return "the channel name holds a byte other than A-Z a-z 0-9 . _ ~ : / @ + , -"
    end
end

local function text_fault(what, text)
    if #text > TEXT_MAX then
        return what .. " is longer than 200 bytes"
    elseif string.find(text, "[%z\r\n]") then
        return what .. " holds CR, LF or NUL"
    elseif not utf8_valid(text) then
        return what .. " is not valid UTF-8"
    end
end

-- An id that a gateway takes for a place must not stand for one that this event comes before: whoever resumes from it would not get what lies between.
local function time_fault(id)
    local _, _, channel = place_of(id)
    return channel == hash(1013904223, "") and "id has the form of a place in all channels, which only gateways give" or nil
end

local function future_fault(id, ms, seq)
    local id_ms, id_seq = place_of(id)
    if id_ms and (id_ms > ms or (id_ms == ms and id_seq > seq)) then
        return "id has the form of the bus's own and stands for a place that is still to come"
    end
end

-- What a browser would take for the gateway's word, or for its own.
local reserved = { gap = true, error = true, open = true, ["end"] = true }

local function type_fault(text)
    return text_fault("event", text)
        or reserved[text] and "event is reserved: gap, error, open and end are events of the gateway and the browser"
        or (string.find(text, "^[ \t]") or string.find(text, "[ \t]$")) and "event begins or ends with a blank, which some readers remove"
        or nil
end

-- An id comes back in an HTTP header, which carries no control character and loses the blanks at its ends.
local function id_fault(text)
    local fault = text_fault("id", text)
    if fault then
        return fault
    elseif string.find(text, "[%z\1-\31\127]") then
        return "id holds a control character, which HTTP does not carry"
    elseif string.find(text, "^ ") or string.find(text, " $") then
        return "id begins or ends with a blank, which HTTP does not carry"
    end
end

local function integer(text, min, max)
    local n = string.find(text, "^%d+$") and tonumber(text)
    return n and n >= min and n <= max and n or nil
end

-- One reader for each option: puts the value into `o`, or returns its fault. An empty event, id or key is as good as none.
local readers = {
    event = function(o, value)
        o.event = value ~= "" and value or o.event
        return type_fault(value)
    end,
    id = function(o, value)
        o.id = value ~= "" and value or nil
        return id_fault(value) or time_fault(value)
    end,
    author = function(o, value)
        o.author = value ~= "" and value or nil
        return #value > AUTHOR_MAX and "author is longer than 8192 bytes" or nil
    end,
    key = function(o, value)
        o.key = value ~= "" and value or nil
        return #value > TEXT_MAX and "key is longer than 200 bytes" or nil
    end,
    retry = function(o, value)
        local ms = integer(value, 0, RETRY_MAX)
        o.retry = ms and string.format("retry: %d\n", ms) or ""
        return not ms and value ~= "none" and "retry is not 'none' or an integer from 0 to 3600000" or nil
    end,
    maxlen = function(o, value)
        o.maxlen = integer(value, 1, COUNT_MAX)
        return not o.maxlen and "maxlen is not an integer from 1 to 2147483647" or nil
    end,
    maxbytes = function(o, value)
        o.maxbytes = integer(value, 1, BYTES_MAX)
        return not o.maxbytes and "maxbytes is not an integer from 1 to 1125899906842624" or nil
    end,
    maxdata = function(o, value)
        o.maxdata = integer(value, 1, COUNT_MAX)
        return not o.maxdata and "maxdata is not an integer from 1 to 2147483647" or nil
    end,
    ttl = function(o, value)
        o.ttl = integer(value, 1, COUNT_MAX)
        return not o.ttl and "ttl is not an integer from 1 to 2147483647" or nil
    end,
    changed = function(o, value)
        o.changed = value == "1"
        return value ~= "0" and value ~= "1" and "changed is not 0 or 1" or nil
    end,
    count = function(o, value)
        o.count = value == "1"
        return value ~= "0" and value ~= "1" and "count is not 0 or 1" or nil
    end,
    ["end"] = function(o, value)
        o.ends = value == "1"
        return value ~= "0" and value ~= "1" and "end is not 0 or 1" or nil
    end,
    lease = function(o, value)
        o.lease = integer(value, 1, LEASE_MAX)
        return not o.lease and "lease is not an integer from 1 to 86400" or nil
    end,
}

-- What can't go together. An end without data is an event of the bus's own.
local function options_fault(o, data)
    if o.changed and o.count then
        return "changed and count exclude each other"
    elseif o.ends and (o.changed or o.count or o.lease) then
        return "end excludes changed, count and lease"
    elseif o.ends and data == "" and (o.id or o.event ~= "message") then
        return "an end without data has no event or id of its own"
    end
end

-- Returns the options, or nil and the fault.
local function read_options(args)
    local o = { event = "message", retry = "", maxlen = 1000, maxbytes = 33554432, maxdata = 1314816, ttl = 86400 }
    if #args == 0 then
        return nil, "wants data after the key"
    end
    for i = 2, #args, 2 do
        local reader = readers[args[i]]
        if not reader then
            return nil, "unknown option; the options are event, id, retry, key, author, maxlen, maxbytes, maxdata, ttl, changed, count, end and lease"
        elseif not args[i + 1] then
            return nil, "the option " .. args[i] .. " has no value"
        end
        local fault = reader(o, args[i + 1])
        if fault then
            return nil, fault
        end
    end
    local fault = options_fault(o, args[1])
    if fault then
        return nil, fault
    end
    return o
end

-- How many bytes the data lines will take, exact up to `max`: a line break becomes seven bytes, a CRLF too.
local function lines_size(data, max)
    local size = 7 + #data
    local at = #data * 7 + 7 > max and string.find(data, "\n", 1, true)
    while at and size <= max do
        size = size + (string.byte(data, at - 1) == 13 and 5 or 6)
        at = string.find(data, "\n", at + 1, true)
    end
    at = #data * 7 + 7 > max and string.find(data, "\r", 1, true)
    while at and size <= max do
        size = size + (string.byte(data, at + 1) == 10 and 0 or 6)
        at = string.find(data, "\r", at + 1, true)
    end
    return size
end

local function data_fault(o, data)
    if lines_size(data, o.maxdata) > o.maxdata then
        return "data takes more bytes on the stream, with 'data: ' in front of each line, than maxdata: " .. string.format("%d", o.maxdata)
    end
end

-- What stands between the first "data: " and the line's end. Each long string costs: Redis's Lua hashes all its bytes, 1.5 ms for a MiB.
local function data_text(data)
    if string.find(data, "\n", 1, true) or string.find(data, "\r", 1, true) then -- plain finds: a pattern takes 8 ms for a MiB
        data = string.gsub(string.gsub(data, "\r\n?", "\n"), "\n", "\ndata: ")
    end
    return data
end

-- What a repeat must have in common with the first call: its type, its data, and whether it ends the channel. Not what a server's settings may decide, as `retry`.
local function digest_of(o, data)
    if o.id_key or o.key_key then
        return redis.sha1hex(o.event .. "\n" .. (o.count and "count" or (o.ends and "end\n" or "data\n") .. data))
    end
end

-- The answer that an id or key got the first time: {id, position, digest}; nil when it is new. Version 1 kept no digest.
local function remembered(key)
    local text = key and redis.call("GET", key) or ""
    local digest, id, position = string.match(text, "^=(%x+) (.*) (%d+%-%d+)$")
    if not digest then
        id, position = string.match(text, "^(.*) (%d+%-%d+)$")
    end
    return id and { id, position, digest }
end

local function remember(o, id, position)
    local text = o.digest and "=" .. o.digest .. " " .. id .. " " .. position
    if o.id_key then
        redis.call("SET", o.id_key, text, "EX", REMEMBER)
    end
    if o.key_key then
        redis.call("SET", o.key_key, text, "EX", REMEMBER)
    end
end

local function payload_of(entry)
    return entry and entry[2][1] == "m" and entry[2][2] or ""
end

-- Whether the entry is an event of this function: its message says where it stands.
local function is_event(entry)
    return string.match(payload_of(entry), "^\030sse[12] (%d+%-%d+) ") == (entry and entry[1] or "")
end

-- Whether the channel's last event is there.
local function has_ended(newest)
    return string.find(payload_of(newest), "^\030sse2 %d+%-%d+ %d+%-%d+ end[ \n]") ~= nil
end

-- The id of the newest entry's event if that event has exactly this data, "" if it has it and no id; else nil.
local function unchanged_id(entry, text)
    local lines = "data: " .. text .. "\n"
    local payload = payload_of(entry)
    local at = string.match(payload, "^\030sse[12] [^\n]*\n()")
    if not at then
        return nil
    end
    at = string.match(payload, "^event: [^\n]*\n()", at) or at
    local after = at + #lines
    if string.sub(payload, at, after - 1) ~= lines or string.sub(payload, after, after + 5) == "data: " then
        return nil
    end
    return string.match(payload, "^id: ([^\n]*)\n", after) or ""
end

-- The greatest id the stream ever had, which XDEL and XTRIM don't take back. Asked for only when it may not be the newest entry's: XINFO costs a third of a publish.
local function greatest_of(log)
    local info = redis.call("EXISTS", log) == 1 and redis.call("XINFO", "STREAM", log) or {}
    for i = 1, #info, 2 do
        if info[i] == "last-generated-id" then
            return info[i + 1]
        end
    end
    return "0-0"
end

local function now_ms()
    local time = redis.call("TIME")
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The channel's last position as its marker knows it, "0-0" without one. It outlives the history and the newest entry (XDEL), and a clock that was set back: so positions
-- never go back, and what is missing shows. One that is absurdly far ahead is no marker of this function's and counts for nothing.
local function marked(last_key)
    local position = redis.call("GET", last_key) or ""
    local ms = tonumber(string.match(position, "^(%d+)%-%d+$"))
    return ms and ms <= now_ms() + AHEAD_MAX and position or "0-0"
end

local function later(one, other)
    local ms1, seq1 = string.match(one, "^(%d+)%-(%d+)$")
    local ms2, seq2 = string.match(other, "^(%d+)%-(%d+)$")
    ms1, ms2 = tonumber(ms1), tonumber(ms2)
    if ms1 == ms2 then
        return tonumber(seq1) > tonumber(seq2) and one or other
    end
    return ms1 > ms2 and one or other
end

-- The next position: above `greatest`, not before the clock; nil where an event id has no room.
local function following(greatest)
    local now = now_ms()
    local ms, seq = string.match(greatest, "^(%d+)%-(%d+)$")
    ms, seq = tonumber(ms), tonumber(seq)
    if now > ms then
        ms, seq = now, 0
    elseif seq >= SEQ_MAX then
        ms, seq = ms + 1, 0
    else
        seq = seq + 1
    end
    if ms <= MS_MAX then
        return { ms = ms, seq = seq, text = string.format("%d-%d", ms, seq) }
    end
end

-- Names a write that this Redis user's ACL would stop half-way; nil when it may do them all.
local function acl_fault(key, log, o)
    local may = redis.acl_check_cmd
    local denied = not may("XADD", log, "*", "m", "") and "XADD"
        or not may("EXPIRE", log, 1) and "EXPIRE"
        or not may("SET", o.last_key, "") and "SET"
        or not may(o.publish, key, "") and o.publish
        or o.count and not may("INCR", o.count_key) and "INCR"
        or (o.id_key or o.key_key) and not may("SET", o.id_key or o.key_key, "") and "SET"
    return denied and "the Redis user is not allowed to " .. denied .. " here" or nil
end

-- Whether the slot is on its way to another shard. A client that follows ASK gets here while the history may still be at the other end, and an event would begin another one. Two
-- keys, of which the first never exists, are what a node refuses to read together while that lasts.
local function is_moving(key, log)
    return in_cluster and type(redis.pcall("EXISTS", key, log)) == "table"
end

-- A history's bytes are counted in its entries. Their field `b` is the sum of all messages so far, and, once a step was crossed, the entry that crossed it last. That one has a field
-- `k`: the marks, "sum@entry" for each entry that crossed one, with the sum before it. So the entry from which on a history is short enough is found without reading the history.
-- Without a sum, as version 1 wrote them, entries count for nothing.
local function marks_of(log, crossed)
    crossed = string.match(crossed or "", "^%d+%-%d+$")
    local entry = crossed and redis.pcall("XREVRANGE", log, crossed, crossed, "COUNT", 1)[1]
    local marks = {}
    for sum, at in string.gmatch(entry and entry[2][6] or "", "(%d+)@(%d+%-%d+)") do
        marks[#marks + 1] = { sum = tonumber(sum), at = at }
    end
    return marks
end

-- The marks that still stand for an entry to be kept, and whether others had to go. Half of them go where there are too many, since somebody varied maxbytes.
local function marks_kept(marks, from)
    local kept, every = {}, #marks > MARKS_MAX and 2 or 1
    for i = 1, #marks do
        if marks[i].sum >= from and (#marks - i) % every == 0 then
            kept[#kept + 1] = marks[i]
        end
    end
    return kept, #marks > 0 and marks[1].sum < from
end

-- The marks of an entry that crosses a step, and how the stream is trimmed then. Trimming by bytes leaves between 14 and 15 steps, so that less than maxbytes is there when the next step
-- is crossed.
local function crossing(log, o, position, payload, before, crossed)
    local sum, marks = before + #payload, marks_of(log, crossed)
    marks[#marks + 1] = { sum = before, at = position }
    local kept, trims = marks_kept(marks, math.min(before, sum - o.maxbytes * (1 - 1 / STEPS)))
    local k = {}
    for i = 1, #kept do
        k[i] = string.format("%d@%s", kept[i].sum, kept[i].at)
    end
    return table.concat(k, " "), trims and kept[1].at
end

-- What XADD answers, and the entry as XREVRANGE would give it.
local function add_entry(log, o, newest, position, payload)
    local fields = newest and newest[2] or {}
    local b = fields[3] == "b" and fields[4] or "0"
    local blank = string.find(b, " ", 1, true)
    local before = tonumber(blank and string.sub(b, 1, blank - 1) or b) or 0
    local sum, step = before + #payload, o.maxbytes / STEPS
    if math.floor(sum / step) ~= math.floor(before / step) then
        local k, from = crossing(log, o, position, payload, before, blank and string.sub(b, blank + 1))
        b = string.format("%d %s", sum, position)
        return redis.pcall("XADD", log, from and "MINID" or "MAXLEN", from and "=" or "~", from or o.maxlen, position, "m", payload, "b", b, "k", k),
            { position, { "m", payload, "b", b, "k", k } }
    end
    b = string.format("%d", sum) .. (blank and string.sub(b, blank) or "")
    return redis.pcall("XADD", log, "MAXLEN", "~", o.maxlen, position, "m", payload, "b", b), { position, { "m", payload, "b", b } }
end

-- The message of an event; `words`: what version 1 cannot say, each with a blank in front.
local function message_of(position, previous, words, lines, id)
    return (words == "" and "\030sse1 " or "\030sse2 ") .. position .. " " .. previous .. words .. "\n" .. lines .. "id: " .. id .. "\n"
end

-- The channel's last event.
local function end_message(o, place, previous)
    local lines = 'event: end\ndata: {"channel":"' .. o.name .. '","reason":"done"}\n' -- nothing in a name has to be escaped
    return message_of(place.text, previous, " end", lines, event_id(o.name, place.ms, place.seq, place.text)) .. "\n"
end

-- The event itself, at `place`.
local function event_message(o, text, id, place, previous)
    if o.count then
        redis.call("INCR", o.count_key)
        text = data_text(redis.call("GET", o.count_key)) -- as text: a large integer would lose digits in a double
    end
    local lines = (o.event == "message" and "data: " or "event: " .. o.event .. "\ndata: ") .. text .. "\n"
    return message_of(place.text, previous, o.lease and string.format(" lease=%d", o.lease) or "", lines, id) .. o.retry .. "\n"
end

-- Appends and publishes at one place, or two where the end follows an event; nil, and nothing is done, when the stream once had an id above them.
local function append(key, log, o, text, newest, previous, places)
    local first, last = places[1], places[#places]
    local id = text and o.id or event_id(o.name, first.ms, first.seq, first.text)
    local payloads = { text and event_message(o, text, id, first, previous) or end_message(o, first, previous) }
    if last ~= first then
        payloads[2] = end_message(o, last, first.text)
    end
    for i = 1, #payloads do
        local added, entry = add_entry(log, o, newest, places[i].text, payloads[i])
        if added.err then
            return not string.find(added.err, "equal or smaller", 1, true) and added or nil
        end
        newest = entry
    end
    redis.call("EXPIRE", log, o.ttl)
    redis.call("SET", o.last_key, last.text, "EX", o.ttl + MARKED)
    remember(o, id, first.text)
    for i = 1, #payloads do
        redis.call(o.publish, key, payloads[i])
    end
    return { id, first.text, "published" }
end

-- The first word tells whose fault it is: ERR is the caller's, TRYAGAIN means that the same call may succeed in a moment, any other once an operator has acted.
local function refuse(fault, code)
    return redis.error_reply((code or "ERR") .. " sse_publish: " .. fault)
end

-- The last event, behind which there may be entries that somebody added by hand: its entry, nil where the history does not have it any more, or it is not among the newest and there is no marker.
local function last_event(log, newest, last_key)
    if not newest or is_event(newest) then
        return newest
    end
    local marker = marked(last_key)
    local first, last = marker ~= "0-0" and marker or "-", marker ~= "0-0" and marker or "+"
    local entries = redis.pcall("XREVRANGE", log, last, first, "COUNT", LOOK) -- a marker by hand may be no position
    for i = 1, #entries do
        if is_event(entries[i]) then
            return entries[i]
        end
    end
end

local function append_after(key, log, o, text, newest, greatest, previous)
    local place = following(greatest)
    local places = { place }
    if place and o.ends and text then
        places[2] = following(place.text)
    end
    if #places ~= (o.ends and text and 2 or 1) then
        return refuse("the stream " .. log .. " has an entry too far in the future, added by hand: delete the stream", "HISTORY")
    end
    local fault = o.id and future_fault(o.id, place.ms, place.seq)
    if fault then
        return refuse(fault)
    end
    return append(key, log, o, text, newest, previous, places)
end

local function publish(keys, args)
    local o, fault = nil, channel_fault(keys)
    if not fault then
        o, fault = read_options(args)
    end
    if not fault and not o.count then
        fault = data_fault(o, args[1])
    end
    if fault then
        return refuse(fault)
    end

    local key = keys[1]
    local prefix, name = split(key)
    local tag = "{" .. key .. "}:"
    local log = tag .. "log"
    o.name = name
    o.last_key = tag .. "last"
    o.count_key = tag .. "count"
    o.id_key = o.id and tag .. "id:" .. o.id
    o.key_key = o.key and tag .. (o.author and "by:" .. redis.sha1hex(o.author) .. ":" or "key:") .. o.key
    o.digest = digest_of(o, args[1])
    o.publish = is_cluster(prefix) and "SPUBLISH" or "PUBLISH"
    fault = acl_fault(key, log, o)
    if fault then
        return refuse(fault, "NOPERM")
    elseif is_moving(key, log) then
        return refuse("the channel is on its way to another shard", "TRYAGAIN")
    end
    local first, what = remembered(o.key_key), "key"
    if not first then
        first, what = remembered(o.id_key), "id"
    end
    if first and first[3] and first[3] ~= o.digest then
        return refuse("this " .. what .. " was used for another event within 300 s", "CONFLICT")
    elseif first then
        return { first[1], first[2], "duplicate" }
    end

    local text = not (o.ends and args[1] == "") and (o.count or data_text(args[1])) -- none: only the end
    local newest = redis.call("XREVRANGE", log, "+", "-", "COUNT", 1)[1]
    local event = last_event(log, newest, o.last_key)
    if has_ended(event) then
        return refuse("the channel has ended; it is new again when its history is gone", "ENDED")
    end
    local same = o.changed and unchanged_id(event, text)
    if same then
        remember(o, same, event[1])
        return { same, event[1], "unchanged" }
    end

    local exact = o.count or not newest -- a counter must not be raised twice
    local greatest = exact and greatest_of(log) or newest[1]
    local marker = marked(o.last_key)
    local previous = event and later(event[1], marker) or marker
    local reply = append_after(key, log, o, text, newest, later(greatest, marker), previous)
    if not reply then -- entries behind the newest were deleted by hand
        reply = append_after(key, log, o, text, newest, greatest_of(log), previous)
    end
    return reply
end

redis.register_function("sse_publish", publish)
