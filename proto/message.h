/* The message on Redis pub/sub and in the stream's entries: a header line and the event's ready bytes, or plain data.
 *
 *     RS "sse1 " POSITION " " PREVIOUS LF  SSE-BYTES
 *
 * RS is the byte 0x1e: no text that a person publishes by hand begins with it, so whatever does not is data as it stands. To change
 * this layout: add a version ("sse2"), keep decoding sse1, add vectors, state it in proto/README.md. */
#pragma once

#include "proto/position.h"
#include "proto/sse.h"

enum message_kind {
    MESSAGE_PLAIN, /* no header: `body` is the data of an event without id and history */
    MESSAGE_DURABLE, /* `body` is one encoded event, checked by sse_check() */
};

struct message {
    enum message_kind kind;
    struct position at; /* durable only: the event's own position */
    struct position prev; /* durable only: the position before it in the channel, POSITION_NONE for the first */
    struct slice body; /* a view into the payload */
    struct slice id; /* durable only: a view of the event's id; p NULL without one */
};

/* NULL and *out filled, or a static sentence when the payload begins like our format and is not: an unknown version, a broken header,
 * a position above what an event id holds or not above the one before it, bytes that are not exactly one event. Never reads outside
 * the payload. */
const char *message_decode(struct message *out, struct slice payload);
