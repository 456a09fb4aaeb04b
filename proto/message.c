#include "proto/message.h"

#include "proto/event_id.h"

static const struct slice version1 = {"\x1esse1 ", 6};

static const char *decode_header(struct message *out, struct slice line)
{
    struct slice at = slice_split(&line, ' ');
    if (line.p == NULL || !position_parse(&out->at, at) || !position_parse(&out->prev, line))
        return "the message's header line is broken";
    if (out->at.ms >> 48 != 0 || out->at.seq > EVENT_ID_SEQ_MAX)
        return "the message's position is beyond what an event id can hold";
    if (position_compare(out->at, out->prev) <= 0)
        return "the message's position is not above the one before it";
    return NULL;
}

static const char *decode_v1(struct message *out, struct slice payload)
{
    struct slice rest = slice_from(payload, version1.n), header = slice_split(&rest, '\n');
    struct sse_fields fields;
    const char *why;
    if (rest.p == NULL)
        return "the message's header line has no end";
    if ((why = decode_header(out, header)) != NULL || (why = sse_check(rest, &fields)) != NULL)
        return why;
    out->kind = MESSAGE_DURABLE;
    out->body = rest;
    out->id = fields.id;
    return NULL;
}

const char *message_decode(struct message *out, struct slice payload)
{
    *out = (struct message){.kind = MESSAGE_PLAIN, .at = POSITION_NONE, .prev = POSITION_NONE, .body = payload};
    if (payload.n == 0 || payload.p[0] != version1.p[0])
        return NULL;
    if (!slice_starts(payload, version1))
        return "the message's version is unknown";
    return decode_v1(out, payload);
}
