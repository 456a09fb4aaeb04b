#!lua name=sse
-- The durable publish as one atomic step. proto/README.md holds the contract. sse-publisher loads this file when it starts; by hand:
-- redis-cli -x FUNCTION LOAD REPLACE < proto/bus/sse.lua
--
--   FCALL sse_publish 1 PREFIX:NAME DATA [option value]...   ->   id, position, "published" | "duplicate" | "unchanged"
--   FCALL sse_publish_many 1 PREFIX:NAME [option value]... data DATA [field value]... data DATA ...   ->   "published" | "duplicate", the last event's position, an id for each event
--
-- Everything that can be refused is refused before the first write, so a call does all of its work or none. (While Redis loads a
-- library its globals are not there yet: start() takes them at the first call.)
--
-- Most calls are plain events of a channel that was published to before: append_next() does these, with what the function remembers of the channel, and without reading its newest entry, which may
-- have a MiB. It sets the marker first, which tells what it was, and takes that back where the event can't follow. What is remembered may be lost at any time, and counts only where the marker says
-- that nothing else has happened since. (Version 1.0 wrote events and no marker; its library takes the place of this one, which forgets all when it is loaded again.)

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
local EVENTS_MAX = 1000 -- of a batch
local LOOK = 16 -- entries in which the last event is looked for, where there is no marker
local MS_MAX, SEQ_MAX = 2 ^ 48 - 1, 2 ^ 24 - 1 -- what an event id has room for
local TRIM_BYTES = 4096 -- of messages until maxlen is looked at again: Redis trims by whole nodes, which hold about as much
local CHANNELS_MAX = 4096 -- that are remembered, with about 1 KB each, 2 where names are long
local OPTIONS_MAX = 256 -- ways to call that are remembered
local OPTION_ARGS_MAX = 25 -- of a call that is remembered, its data included
local OPTIONS = 0 -- where a way's options stand, beside texts
local SEQS_MAX = 1000 -- sequence numbers that are remembered

local call, try, may, find, match, format, bytes_of, floor, xor
local HEX = {} -- "00" to "ff"

local function start()
    call, try, may = redis.call, redis.pcall, redis.acl_check_cmd
    find, match, format, bytes_of = string.find, string.match, string.format, string.byte
    floor, xor = math.floor, bit.bxor
    for i = 0, 255 do
        HEX[i] = format("%02x", i)
    end
end

-- Whether this is a node of a Redis Cluster: there, and only there, keys of two slots can't be read together. Found out at the first call, by a user who may do that.
local in_cluster

local function find_cluster(prefix)
    local one, other = "{" .. prefix .. "a}:log", "{" .. prefix .. "b}:log"
    if may("EXISTS", one, other) then
        in_cluster = type(try("EXISTS", one, other)) == "table"
    end
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
    local bytes = { bytes_of(text, 1, -1) }
    for i = 1, #bytes do
        from = (from * 1664525 + bytes[i]) % 4294967296
    end
    return from
end

-- What the hash `from` of a text adds to that of a longer one, by `count` bytes: hash(0, one .. two) is passed(hash(0, one), #two) + hash(0, two), modulo 2^32. So its parts can be remembered.
local function passed(from, count)
    for _ = 1, count do
        from = from * 1664525 % 4294967296
    end
    return from
end

-- What the positions and ids of one millisecond have in common; those of many channels share it.
local moment, moment_text, moment_id, moment_hash, moment_sums

local function set_moment(ms)
    moment, moment_text, moment_id = ms, format("%d-", ms), format("%08x-%04x-4", floor(ms / 65536), ms % 65536)
    moment_hash, moment_sums = hash(0, moment_text), {}
end

-- The same for sequence numbers, of which the small ones are remembered.
local seq_texts, seq_ids, seq_hashes = {}, {}, {}

local function add_seq(seq)
    if seq > SEQS_MAX then
        seq_texts, seq_ids, seq_hashes = {}, {}, {}
    end
    seq_texts[seq], seq_ids[seq] = format("%d", seq), format("%03x-8%03x-", floor(seq / 4096), seq % 4096)
    seq_hashes[seq] = hash(0, seq_texts[seq])
end

-- A position as text, and the UUID of an event there; proto/event_id.h draws it.
local function place_at(channel, ms, seq)
    if ms ~= moment then
        set_moment(ms)
    end
    local seq_text = seq_texts[seq]
    if not seq_text then
        add_seq(seq)
        seq_text = seq_texts[seq]
    end
    local position, size = moment_text .. seq_text, #seq_text
    local whole = #position
    local of_moment, of_channel = moment_sums[size], channel[whole]
    if not of_moment or not of_channel then
        of_moment, of_channel = passed(moment_hash, size), passed(channel.hash, whole)
        moment_sums[size], channel[whole] = of_moment, of_channel
    end
    local sum = (of_channel + of_moment + seq_hashes[seq]) % 4294967296
    local low = sum % 65536
    local check = xor((sum - low) / 65536, low)
    low = check % 256
    return position, moment_id .. seq_ids[seq] .. HEX[(check - low) / 256] .. HEX[low] .. channel.hex
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

local function name_fault(keys, name)
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

local channels, known = {}, 0

-- What is known of the channel, or nil and the fault: its names, and what depends on them alone. See remember_entry() for the rest.
local function channel_of(keys)
    if not call then
        start()
    end
    local key = keys[1]
    local channel = channels[key]
    if channel and not keys[2] then
        return channel
    end
    local _, name = split(key or "")
    local fault = name_fault(keys, name)
    if fault then
        return nil, fault
    end
    local sum = hash(1013904223, name)
    channel = { key = key, log = "{" .. key .. "}:log", last = "{" .. key .. "}:last", hash = sum, hex = format("%08x", sum) } -- with the rest 16 fields, which a table has room for
    if known == CHANNELS_MAX then
        channels, known = {}, 0
    end
    channels[key], known = channel, known + 1
    return channel
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
        o.after = ms and string.format("\nretry: %d\n\n", ms) or "\n\n"
        return not ms and value ~= "none" and "retry is not 'none' or an integer from 0 to 3600000" or nil
    end,
    maxlen = function(o, value)
        o.maxlen = integer(value, 1, COUNT_MAX)
        return not o.maxlen and "maxlen is not an integer from 1 to 2147483647" or nil
    end,
    maxbytes = function(o, value)
        local bytes = integer(value, 1, BYTES_MAX)
        o.step = bytes and bytes / STEPS
        return not bytes and "maxbytes is not an integer from 1 to 1125899906842624" or nil
    end,
    maxdata = function(o, value)
        o.maxdata = integer(value, 1, COUNT_MAX)
        o.surely = o.maxdata and o.maxdata / 7 - 1
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

-- Where nothing is asked for. before, after: what stands around the data in a message; start: what is in front of it all. reads: needs the newest entry, or more than one step.
local function default_options()
    return { event = "message", start = "\030sse1 ", before = "\ndata: ", after = "\n\n", maxlen = 1000, step = 33554432 / STEPS, maxdata = 1314816, surely = 1314816 / 7 - 1, ttl = 86400 }
end

local PLAIN = default_options()

-- Puts the type and the lease where they stand in a message.
local function shape(o)
    if o.event ~= "message" then
        o.before = "\nevent: " .. o.event .. o.before
    end
    if o.lease then -- which version 1 cannot say
        o.start, o.before = "\030sse2 ", string.format(" lease=%d", o.lease) .. o.before
    end
end

-- Returns the options, or nil and the fault.
local function parse_options(args)
    if not args[1] then
        return nil, "wants data after the key"
    end
    local o = default_options()
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
    o.reads = o.count or o.changed or o.ends or o.id
    shape(o)
    return o
end

-- Publishers send the same options again and again. Those that were read stand in a tree: the first name, its value, the second name ... and `options` behind the last value. An id, a key and its
-- author are of one call only.
local options_read, options_known = {}, 0

local function keep_options(args, o)
    local longest = 0
    for i = 2, #args do
        longest = math.max(longest, #args[i])
    end
    if o.id or o.key or o.author or o.ends or #args > OPTION_ARGS_MAX or longest > TEXT_MAX then
        return
    elseif options_known == OPTIONS_MAX then
        options_read, options_known = {}, 0
    end
    local at = options_read
    for i = 2, #args do
        at[args[i]] = at[args[i]] or {}
        at = at[args[i]]
    end
    at[OPTIONS], options_known = o, options_known + 1
end

local function read_options(args)
    local at, i = options_read, 2
    while at and args[i] do
        at, i = at[args[i]], i + 1
    end
    local o, fault = at and args[1] and at[OPTIONS], nil
    if not o then
        o, fault = parse_options(args)
        if o then
            keep_options(args, o)
        end
    end
    return o, fault
end

-- How many bytes the data lines will take, exact up to `max`: a line break becomes seven bytes, a CRLF too.
local function lines_size(data, max)
    local size = 7 + #data
    local at = string.find(data, "\n", 1, true)
    while at and size <= max do
        size = size + (string.byte(data, at - 1) == 13 and 5 or 6)
        at = string.find(data, "\n", at + 1, true)
    end
    at = string.find(data, "\r", 1, true)
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
    if find(data, "\n", 1, true) or find(data, "\r", 1, true) then -- plain finds: a pattern takes 8 ms for a MiB
        data = string.gsub(string.gsub(data, "\r\n?", "\n"), "\n", "\ndata: ")
    end
    return data
end

-- What a repeat must have in common with the first call: its type, its data, and whether it ends the channel. Not what a server's settings may decide, as `retry`.
local function same_text(o, data)
    return o.event .. "\n" .. (o.count and "count" or (o.ends and "end\n" or "data\n") .. data)
end

-- The key that the id or idempotency key is remembered under, and the digest of what a repeat must have in common with the first call.
local function name_answer(channel, o, same)
    local tag = "{" .. channel.key .. "}:"
    o.id_key = o.id and tag .. "id:" .. o.id
    o.key_key = o.key and tag .. (o.author and "by:" .. redis.sha1hex(o.author) .. ":" or "key:") .. o.key
    o.digest = redis.sha1hex(same)
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
    if not o.digest then
        return
    end
    local text = "=" .. o.digest .. " " .. id .. " " .. position
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
    return match(payload_of(entry), "^\030sse[12] (%d+%-%d+) ") == (entry and entry[1] or "")
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

-- Redis's clock: the second as text, and the millisecond.
local second, second_ms = "", 0

local function now_ms()
    local time = call("TIME")
    if time[1] ~= second then
        second, second_ms = time[1], time[1] * 1000
    end
    local micros = time[2] + 0
    return second_ms + (micros - micros % 1000) / 1000
end

-- The channel's last position as its marker knows it, "0-0" without one. It outlives the history and the newest entry (XDEL), and a clock that was set back: so positions
-- never go back, and what is missing shows. One that is absurdly far ahead is no marker of this function's and counts for nothing.
local function marked(last_key, now)
    local position = call("GET", last_key) or ""
    local ms = tonumber(match(position, "^(%d+)%-%d+$"))
    return ms and ms <= now + AHEAD_MAX and position or "0-0"
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

-- The place behind this one, not before the clock. Its milliseconds are above MS_MAX where an event id has no room.
local function next_place(ms, seq, now)
    if now > ms then
        return now, 0
    elseif seq >= SEQ_MAX then
        return ms + 1, 0
    end
    return ms, seq + 1
end

local function following(greatest, now)
    local ms, seq = match(greatest, "^(%d+)%-(%d+)$")
    return next_place(tonumber(ms), tonumber(seq), now)
end

-- The first word of a refusal tells whose fault it is: ERR is the caller's, TRYAGAIN means that the same call may succeed in a moment, any other once an operator has acted.
local function refuse(o, fault, code)
    return redis.error_reply((code or "ERR") .. (o.many and " sse_publish_many: " or " sse_publish: ") .. fault)
end

local function of_event(n, fault)
    return format("event %d: ", n) .. fault
end

local function count_key(channel)
    return "{" .. channel.key .. "}:count"
end

-- Names a write that this Redis user's ACL would stop half-way; nil when it may do them all. redis.acl_check_cmd() looks at names and keys alone.
local function denied_command(channel, o, publish)
    return not may("SET", channel.last) and "SET"
        or not may(publish, channel.key) and publish
        or not may("XADD", channel.log) and "XADD"
        or not may("EXPIRE", channel.log) and "EXPIRE"
        or o.count and not may("INCR", count_key(channel)) and "INCR"
        or o.digest and not may("SET", o.id_key or o.key_key) and "SET"
end

-- Whether the slot is on its way to another shard. A client that follows ASK gets here while the history may still be at the other end, and an event would begin another one. Two
-- keys, of which the first never exists, are what a node refuses to read together while that lasts.
local function is_moving(key, log)
    return in_cluster and type(try("EXISTS", key, log)) == "table"
end

-- A history's bytes are counted in its entries. Their field `b` is the sum of all messages so far, and, once a step was crossed, the entry that crossed it last. That one has a field
-- `k`: the marks, "sum@entry" for each entry that crossed one, with the sum before it. So the entry from which on a history is short enough is found without reading the history.
-- Without a sum, as version 1 wrote them, entries count for nothing.
local function marks_of(log, crossed)
    local at = match(crossed, "^ (%d+%-%d+)$")
    local entry = at and try("XREVRANGE", log, at, at, "COUNT", 1)[1]
    local marks = {}
    for sum, place in string.gmatch(entry and entry[2][6] or "", "(%d+)@(%d+%-%d+)") do
        marks[#marks + 1] = { sum = tonumber(sum), at = place }
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
local function crossing(log, o, position, before, sum, crossed)
    local marks = marks_of(log, crossed)
    marks[#marks + 1] = { sum = before, at = position }
    local kept, trims = marks_kept(marks, math.min(before, sum - o.step * (STEPS - 1)))
    local k = {}
    for i = 1, #kept do
        k[i] = format("%d@%s", kept[i].sum, kept[i].at)
    end
    return table.concat(k, " "), trims and kept[1].at
end

-- The sum of a history whose newest entry this is, and what stands behind it in `b`.
local function sum_of(newest)
    local fields = newest and newest[2] or {}
    local b = fields[3] == "b" and fields[4] or "0"
    local blank = find(b, " ", 1, true)
    return tonumber(blank and string.sub(b, 1, blank - 1) or b) or 0, blank and string.sub(b, blank) or ""
end

-- Adds an entry behind those of the sum `before`. Returns what XADD answers, and the sum and the rest of the new entry. trims: whether maxlen is looked at.
local function add_entry(log, o, before, rest, position, payload, trims)
    local size = #payload
    local sum = before + size
    if sum % o.step < size then
        local k, from = crossing(log, o, position, before, sum, rest)
        local b = format("%d %s", sum, position)
        return try("XADD", log, from and "MINID" or "MAXLEN", from and "=" or "~", from or o.maxlen, position, "m", payload, "b", b, "k", k), sum, " " .. position
    end
    local b = format("%d", sum) .. rest
    if trims then
        return try("XADD", log, "MAXLEN", "~", o.maxlen, position, "m", payload, "b", b), sum, rest
    end
    return try("XADD", log, position, "m", payload, "b", b), sum, rest
end

-- The channel's last event.
local function end_message(channel, position, previous, id)
    local _, name = split(channel.key)
    return "\030sse2 " .. position .. " " .. previous .. ' end\nevent: end\ndata: {"channel":"' .. name -- nothing in a name has to be escaped
        .. '","reason":"done"}\nid: ' .. id .. "\n\n"
end

-- The message of an event; of a counter's the next integer is the data.
local function event_message(channel, o, text, position, previous, id)
    if o.count then
        call("INCR", count_key(channel))
        text = data_text(call("GET", count_key(channel))) -- as text: a large integer would lose digits in a double
    end
    return o.start .. position .. " " .. previous .. o.before .. text .. "\nid: " .. id .. o.after
end

-- Sets how long the history and the marker live, a second longer than `ttl` since that is done once a second at most.
local function set_ends(channel, o, position)
    call("EXPIRE", channel.log, o.ttl + 1)
    call("SET", channel.last, position, "EX", o.ttl + 1 + MARKED)
    channel.renewed, channel.ttl = second, o.ttl
end

-- Notes the newest entry, for append_next(): the marker's text `position` and its parts, the sum of the history's bytes and what stands behind it in `b`, and when the times to live were set.
-- An end is not noted, nor a sum that nobody but a hand can have written.
local function remember_entry(channel, ends, position, ms, seq, sum, rest)
    local counts = sum % 1 == 0 and sum >= 0 and sum <= BYTES_MAX
    channel.position = not ends and counts and position or nil
    channel.ms, channel.seq, channel.sum, channel.rest = ms, seq, sum, rest
end

local ANSWER = { "", "", "published" } -- of append_next(), again and again

-- One text of them all. table.concat() makes texts of 8 KiB on its way, and each byte of a text is hashed.
local function joined(t)
    local n, parts = #t, {}
    for i = n + 1, n + 31 do
        t[i] = ""
    end
    for i = 1, n, 32 do
        parts[#parts + 1] = t[i] .. t[i + 1] .. t[i + 2] .. t[i + 3] .. t[i + 4] .. t[i + 5] .. t[i + 6] .. t[i + 7]
            .. t[i + 8] .. t[i + 9] .. t[i + 10] .. t[i + 11] .. t[i + 12] .. t[i + 13] .. t[i + 14] .. t[i + 15]
            .. t[i + 16] .. t[i + 17] .. t[i + 18] .. t[i + 19] .. t[i + 20] .. t[i + 21] .. t[i + 22] .. t[i + 23]
            .. t[i + 24] .. t[i + 25] .. t[i + 26] .. t[i + 27] .. t[i + 28] .. t[i + 29] .. t[i + 30] .. t[i + 31]
    end
    return parts[2] and table.concat(parts) or parts[1]
end

-- Those of a batch go out as one message.
local function publish_messages(channel, o, publish, messages)
    if o.many and messages[2] then
        messages[1] = format("\030sse3 %d\n", #messages) .. messages[1]
        messages = { joined(messages) }
    end
    for i = 1, #messages do
        call(publish, channel.key, messages[i])
    end
end

-- Appends the events one behind the other from a place on, and publishes them. sum, rest: of the newest entry. known: as append_known() remembers them; then `maxlen` and the times to live are looked
-- at no more than append_next() does. nil, and nothing is done, when the stream once had an id above the first; and where they are known, if they can't be added. Answers as sse_publish_many does.
local function append(channel, o, events, publish, previous, ms, seq, sum, rest, known)
    local log, texts, fields, messages, reply = channel.log, events.texts, events.fields, {}, { "published" }
    local last, start, first = #texts, sum, nil
    for i = 1, last do
        local text, f = texts[i], fields[i]
        local position, made = place_at(channel, ms, seq)
        local id, payload, added = made, nil, nil
        if f == PLAIN and text then -- most are so
            payload = "\030sse1 " .. position .. " " .. previous .. "\ndata: " .. text .. "\nid: " .. made .. "\n\n"
        else
            id = text and f.id or made
            payload = text and event_message(channel, f, text, position, previous, id) or end_message(channel, position, previous, id)
        end
        local size = #payload
        local after = sum + size
        if i < last and after % o.step >= size then
            added, sum = try("XADD", log, position, "m", payload, "b", format("%d", after) .. rest), after
        else
            local trims = i == last and not (known and after % TRIM_BYTES >= after - start)
            added, sum, rest = add_entry(log, o, sum, rest, position, payload, trims)
        end
        if type(added) == "table" then -- of the first: the others are above it
            return not known and not find(added.err, "equal or smaller", 1, true) and added or nil
        elseif i <= events.count then
            reply[2], reply[i + 2] = position, id
        end
        if f.digest then
            remember(f, id, position)
        end
        first, messages[i], previous = first or position, payload, position
        if i < last then
            ms, seq = next_place(ms, seq, 0)
        end
    end
    if known and channel.renewed == second and channel.ttl == o.ttl then
        call("SET", channel.last, previous, "KEEPTTL")
    else
        set_ends(channel, o, previous)
    end
    remember_entry(channel, not texts[last], previous, ms, seq, sum, rest)
    if o.many and o.digest then
        remember(o, reply[3], first)
    end
    publish_messages(channel, o, publish, messages)
    return reply
end

-- The last event, behind which there may be entries that somebody added by hand: its entry, nil where the history does not have it any more, or it is not among the newest and there is no marker.
local function last_event(log, newest, last_key, now)
    if not newest or is_event(newest) then
        return newest
    end
    local marker = marked(last_key, now)
    local first, last = marker ~= "0-0" and marker or "-", marker ~= "0-0" and marker or "+"
    local entries = try("XREVRANGE", log, last, first, "COUNT", LOOK) -- a marker by hand may be no position
    for i = 1, #entries do
        if is_event(entries[i]) then
            return entries[i]
        end
    end
end

-- The first fault of an event's own id, whose place is known now.
local function place_fault(o, events, ms, seq)
    for i = 1, events.ids and events.count or 0 do
        local id = events.fields[i].id
        local fault = id and future_fault(id, ms, seq)
        if fault then
            return o.many and of_event(i, fault) or fault
        end
        ms, seq = next_place(ms, seq, 0)
    end
end

local function append_after(channel, o, events, publish, newest, previous, greatest, now)
    local ms, seq = following(greatest, now)
    if ms + (seq + #events.texts - 1 > SEQ_MAX and 1 or 0) > MS_MAX then
        return refuse(o, "the stream " .. channel.log .. " has an entry too far in the future, added by hand: delete the stream", "HISTORY")
    end
    local fault = place_fault(o, events, ms, seq)
    if fault then
        return refuse(o, fault)
    end
    local sum, rest = sum_of(newest)
    return append(channel, o, events, publish, previous, ms, seq, sum, rest)
end

-- Reads the newest entry and the marker, and goes on from there.
local function append_to_read(channel, o, events, publish)
    local log, now = channel.log, now_ms()
    local newest = call("XREVRANGE", log, "+", "-", "COUNT", 1)[1]
    local event = last_event(log, newest, channel.last, now)
    if has_ended(event) then
        return refuse(o, "the channel has ended; it is new again when its history is gone", "ENDED")
    end
    local same = o.changed and unchanged_id(event, events.texts[1])
    if same then
        remember(o, same, event[1])
        return { "unchanged", event[1], same }
    end
    local exact = o.count or not newest -- a counter must not be raised twice
    local greatest, marker = exact and greatest_of(log) or newest[1], marked(channel.last, now)
    local previous = event and later(event[1], marker) or marker
    local reply = append_after(channel, o, events, publish, newest, previous, later(greatest, marker), now)
    if not reply then -- entries behind the newest were deleted by hand
        reply = append_after(channel, o, events, publish, newest, previous, greatest_of(log), now)
    end
    return reply
end

-- The event behind the one that is remembered, if the marker says that this is the channel's last. Returns nil, and nothing is done, where it does not, where the user may not do all of it, where
-- the history has gone or has to be cut by its bytes, and where somebody added an entry that is ahead. This is what publishing costs: no more calls than needed, numbers as text, nothing done twice.
local function append_next(channel, o, data, publish)
    local last, log, position, ms = channel.last, channel.log, channel.position, now_ms()
    local at, seq, renews = channel.ms, 0, channel.renewed ~= second or channel.ttl ~= o.ttl
    if channel.sum % o.step + #data >= o.step then -- before a large message is made twice
        return nil
    elseif ms <= at then
        if at > ms + AHEAD_MAX then -- for such a marker counts for nothing
            return nil
        end
        ms, seq = at, channel.seq + 1
    end
    local place, id = place_at(channel, ms, seq)
    local payload = o.start .. place .. " " .. position .. o.before .. data_text(data) .. "\nid: " .. id .. o.after
    local size = #payload
    local sum = channel.sum + size
    local b, added = format("%d", sum) .. channel.rest
    if seq > SEQ_MAX or sum % o.step < size or not may(publish, channel.key) or renews and not (may("SET", last) and may("EXPIRE", log)) then
        return nil
    end
    local before = renews and call("GET", last) or not renews and try("SET", last, place, "XX", "KEEPTTL", "GET") -- one call for both
    if before == position then
        if sum % TRIM_BYTES < size then
            added = try("XADD", log, "NOMKSTREAM", "MAXLEN", "~", o.maxlen, place, "m", payload, "b", b)
        else
            added = try("XADD", log, "NOMKSTREAM", place, "m", payload, "b", b)
        end
    end
    if added ~= place then
        if not renews and type(before) == "string" then
            call("SET", last, before, "KEEPTTL")
        end
        return nil
    elseif renews then
        set_ends(channel, o, place)
    end
    channel.position, channel.ms, channel.seq, channel.sum = place, ms, seq, sum
    if o.digest then
        remember(o, id, place)
    end
    call(publish, channel.key, payload)
    ANSWER[1], ANSWER[2] = id, place
    return ANSWER
end

-- The first answer to the same id or key.
local function repeated(o)
    local first, what = remembered(o.key_key), "key"
    if not first then
        first, what = remembered(o.id_key), "id"
    end
    if first and first[3] and first[3] ~= o.digest then
        return refuse(o, "this " .. what .. " was used for another event within 300 s", "CONFLICT")
    end
    return first and { first[1], first[2], "duplicate" }
end

-- Refuses where this user may not do all of it, or the channel is moving. Returns the command that publishes, too.
local function hindered(channel, o)
    if in_cluster == nil then
        find_cluster((split(channel.key)))
    end
    local command = in_cluster and "SPUBLISH" or "PUBLISH"
    local denied = denied_command(channel, o, command)
    if denied then
        return refuse(o, "the Redis user is not allowed to " .. denied .. " here", "NOPERM"), command
    elseif in_cluster and is_moving(channel.key, channel.log) then
        return refuse(o, "the channel is on its way to another shard", "TRYAGAIN"), command
    end
    return nil, command
end

-- A call's event, with the end behind it if there is one.
local function one_event(o, data)
    local only_end = o.ends and data == ""
    local events = { count = 1, ids = o.id, texts = { not only_end and (o.count and "" or data_text(data)) }, fields = { o } }
    if o.ends and not only_end then
        events.texts[2], events.fields[2] = false, PLAIN
    end
    return events
end

local function publish(keys, args)
    local channel, o, fault, data = channels[keys[1]], PLAIN, nil, args[1]
    if not channel or keys[2] then
        channel, fault = channel_of(keys)
    end
    if not fault and (args[2] or not data) then
        o, fault = read_options(args)
    end
    if not fault and #data > o.surely and not o.count then
        fault = data_fault(o, data)
    end
    if fault then
        return refuse(PLAIN, fault)
    end
    local follows, reply = channel.position and not o.reads, nil
    if follows and in_cluster == false and not o.key then
        follows, reply = false, append_next(channel, o, data, "PUBLISH")
    end
    if reply then
        return reply
    end

    if o.id or o.key then
        name_answer(channel, o, same_text(o, data))
    end
    local refusal, command = hindered(channel, o)
    reply = refusal or o.digest and repeated(o) or follows and append_next(channel, o, data, command)
    if not reply then
        reply = append_to_read(channel, o, one_event(o, data), command)
        reply[1], reply[3] = reply[3], reply[1]
    end
    return reply
end

redis.register_function("sse_publish", publish)

-- ---- batches ----

-- Appends them behind the entry that is remembered, if the marker says that this is the channel's last. nil, and nothing is done, where it does not, where the history has gone, and where somebody added
-- an entry that is ahead.
local function append_known(channel, o, events, publish)
    local at, now, reply = channel.ms, now_ms(), nil
    if channel.position and at <= now + AHEAD_MAX and call("GET", channel.last) == channel.position and call("EXISTS", channel.log) == 1 then
        local ms, seq = next_place(at, channel.seq, now)
        if not place_fault(o, events, ms, seq) then
            reply = append(channel, o, events, publish, channel.position, ms, seq, channel.sum, channel.rest, true)
        end
    end
    return reply
end

local batch_options = { key = true, author = true, maxlen = true, maxbytes = true, maxdata = true, ttl = true }
local event_fields = { event = true, id = true, retry = true, lease = true, ["end"] = true }

-- Why this name stands where it does not belong: `own` are those that do, `other` those of the other part.
local function name_fault_at(name, own, other, belongs, unknown)
    if own[name] then
        return nil
    elseif name == "changed" or name == "count" then
        return name .. " is not for batches"
    end
    return other[name] and name .. belongs or unknown
end

-- Reads an option of the batch into `o`; or, behind the first data, a field of its event `n`. Returns its fault.
local function read_pair(o, events, n, name, value)
    local fault
    if n == 0 then
        fault = name_fault_at(name, batch_options, event_fields, " is an event's and stands behind its data", "unknown option; the options of a batch are key, author, maxlen, maxbytes, maxdata and ttl")
    else
        fault = name_fault_at(name, event_fields, batch_options, " is the batch's and stands before the first data", "unknown field; the fields of an event are event, id, retry, lease and end")
    end
    if fault or not value then
        return fault or name .. " has no value"
    elseif n ~= 0 then
        if events.fields[n] == PLAIN then
            events.fields[n] = default_options()
        end
        o = events.fields[n]
    end
    return readers[name](o, value)
end

-- Makes the text of event `i`, which has fields, and checks what they say together.
local function finish_event(events, i)
    local data, f = events.data[i], events.fields[i]
    local only_end = f.ends and data == ""
    events.texts[i], events.ids = not only_end and data_text(data), events.ids or f.id
    shape(f)
    if f.ends and i < events.count then
        return "end is for the last event"
    elseif f.ends and not only_end then
        events.texts[i + 1], events.fields[i + 1] = false, PLAIN
    end
    return options_fault(f, data)
end

-- Whether all data together are longer than may be. Counted only where they might be.
local function batch_data_fault(o, events)
    local bytes, size = 0, 0
    for i = 1, events.count do
        bytes = bytes + #events.data[i] + 1
    end
    for i = 1, bytes * 7 > o.maxdata and events.count or 0 do
        size = size + lines_size(events.data[i], o.maxdata - size)
    end
    if size > o.maxdata then
        return format("the data of all events take more bytes on the stream, with 'data: ' in front of each line, than maxdata: %d", o.maxdata)
    end
end

local function in_event(n, fault)
    return fault and (n == 0 and fault or of_event(n, fault))
end

-- Fills in the batch's options and its events, or returns the fault.
local function read_batch(o, events, args)
    local n, data, fields = 0, events.data, events.fields
    for i = 1, #args, 2 do
        local name, value = args[i], args[i + 1]
        if name == "data" and value then
            n = n + 1
            data[n], fields[n] = value, PLAIN
        else
            local fault = name == "data" and "data has no value" or read_pair(o, events, n, name, value)
            if fault then
                return in_event(n, fault)
            end
        end
    end
    if n == 0 or n > EVENTS_MAX then
        return n == 0 and "wants the data of 1 to 1000 events" or "holds more than 1000 events"
    end
    events.count = n
    for i = 1, n do
        local fault
        if fields[i] == PLAIN then
            events.texts[i] = data_text(data[i])
        else
            fault = finish_event(events, i)
        end
        if fault then
            return of_event(i, fault)
        end
    end
    return batch_data_fault(o, events)
end

-- What a repeat of the batch must have in common with it: of each event the type, the id, the data and whether it is the end, behind their lengths. An event alone begins with its type, never so.
local function same_batch(events)
    local parts = { "" }
    for i = 1, events.count do
        local data, f = events.data[i], events.fields[i]
        local id = f.id or ""
        parts[i + 1] = format("%d %d %d %s\n", #f.event, #id, #data, f.ends and "end" or "data") .. f.event .. id .. data
    end
    return table.concat(parts, "\n")
end

-- The answer to the first batch of this key. The positions of a batch follow each other, so the first one is enough.
local function repeated_batch(channel, o, events)
    local first = remembered(o.key_key)
    if not first then
        return nil
    elseif first[3] ~= o.digest then
        return refuse(o, "this key was used for another batch or event within 300 s", "CONFLICT")
    end
    local ms, seq = match(first[2], "^(%d+)%-(%d+)$")
    local reply = { "duplicate" }
    ms, seq = tonumber(ms), tonumber(seq)
    for i = 1, events.count do
        local position, made = place_at(channel, ms, seq)
        reply[2], reply[i + 2] = position, events.fields[i].id or made
        ms, seq = next_place(ms, seq, 0)
    end
    return reply
end

-- Gives each event with an id of its own what it is remembered by. An id that was used makes the whole batch another one than it says: refused, unless its key tells that it is a repeat.
local function refuse_ids(channel, o, events)
    local seen = {}
    for i = 1, events.ids and events.count or 0 do
        local f = events.fields[i]
        if f.id then
            name_answer(channel, f, same_text(f, events.data[i]))
            if seen[f.id] then
                return refuse(o, of_event(i, "it has the id of event " .. seen[f.id]), "CONFLICT")
            elseif not may("SET", f.id_key) then
                return refuse(o, "the Redis user is not allowed to SET here", "NOPERM")
            elseif remembered(f.id_key) then
                return refuse(o, of_event(i, "this id was used within 300 s"), "CONFLICT")
            end
            seen[f.id] = i
        end
    end
end

local function publish_many(keys, args)
    local o, events = default_options(), { count = 0, texts = {}, fields = {}, data = {} }
    o.many = true
    local channel, fault = channel_of(keys)
    fault = fault or read_batch(o, events, args)
    if fault then
        return refuse(o, fault)
    end
    if o.key then
        name_answer(channel, o, same_batch(events))
    end
    local refusal, command = hindered(channel, o)
    return refusal or o.key and repeated_batch(channel, o, events) or refuse_ids(channel, o, events)
        or append_known(channel, o, events, command) or append_to_read(channel, o, events, command)
end

redis.register_function("sse_publish_many", publish_many)
