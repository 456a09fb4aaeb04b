/* The message on Redis pub/sub and in the stream's entries: a header line and the event's ready bytes, or plain data. On pub/sub also several of the first two as one, a batch.
 *
 *     RS "sse1 " POSITION " " PREVIOUS LF  SSE-BYTES
 *     RS "sse2 " POSITION " " PREVIOUS " " WORDS LF  SSE-BYTES
 *     RS "sse3 " COUNT LF  MESSAGES
 *
 * RS is the byte 0x1e: no text that a person publishes by hand begins with it, so whatever does not is data as it stands. Version 2 is for what version 1 can't say: WORDS
 * are `end` and `lease=SECONDS`, one or both, in this order. To change this layout: add a version ("sse4"), keep decoding the others, add vectors, state it in
 * proto/README.md. */
#pragma once

#include "proto/position.h"
#include "proto/sse.h"

enum message_kind {
    MESSAGE_PLAIN, /* no header: `body` is the data of an event without id and history */
    MESSAGE_DURABLE, /* `body` is one encoded event, checked by sse_check() */
};

enum {
    MESSAGE_LEASE_MAX = 86400, /* seconds: a day */
    MESSAGE_BATCH_MAX = 1001, /* messages of a batch: a thousand events and the end */
};

struct message {
    enum message_kind kind;
    struct position at; /* durable only: the event's own position */
    struct position prev; /* durable only: the position before it in the channel, POSITION_NONE for the first */
    bool end; /* durable only: the channel's last event, of the type "end"; nothing follows it */
    uint32_t lease_s; /* durable only: if no event follows within so many seconds, the channel was abandoned; 0: no such promise */
    struct slice body; /* a view into the payload */
    struct slice id; /* durable only: a view of the event's id; p NULL without one */
    struct slice retry; /* durable only: a view of the digits of its reconnect time; p NULL without one */
};

/* NULL and *out filled, or a static sentence when the payload begins like our format and is not: an unknown version or word, a broken header,
 * a position above what an event id holds or not above the one before it, bytes that are not exactly one event, an end of another type, a batch. Never reads
 * outside the payload. */
const char *message_decode(struct message *out, struct slice payload);

/* What is left of a batch: its messages are read one after the other, and all of them before the first one is believed. */
struct message_batch {
    struct slice rest; /* a view into the payload */
    uint32_t left; /* messages in it; 0: all are read, and nothing follows them */
    struct position last; /* of the one before; POSITION_NONE: the next is the first */
    bool ended; /* that was the end */
};

/* Whether the payload begins as a batch does. */
bool message_is_batch(struct slice payload);

/* Reads the header. NULL, and 1 to MESSAGE_BATCH_MAX are left; or a static sentence. */
const char *message_batch_open(struct message_batch *batch, struct slice payload);

/* Reads the next message, while any is left. NULL and *out filled; or a static sentence, as of message_decode(), and where it does not follow the one before, is no event of a history, or stands
 * behind the end. */
const char *message_batch_next(struct message_batch *batch, struct message *out);
