/* Publishing through the Redis function library `sse` (proto/bus/sse.lua, embedded in the binary). */
#pragma once

#include <stdint.h>

#include "proto/position.h"
#include "runtime/redis/redis.h"

struct publish; /* a command connection to each shard, with the function library loaded; lives on one loop's thread */

struct publish_request {
    struct slice channel; /* checked by channel_check() */
    struct slice data; /* the event's data; the function splits it into lines */
    bool count; /* data is ignored: the channel's next integer, from 1, is the data */
    struct slice type; /* empty: "message"; checked by event_check_type() */
    struct slice id; /* empty: the function makes one; checked by event_check_id() */
    struct slice key; /* idempotency key, empty: none; at most 200 bytes */
    struct slice author; /* the key is this author's alone; empty: nobody's; at most PUBLISH_AUTHOR_MAX bytes */
    int32_t retry_ms; /* the event's retry line; EVENT_RETRY_NONE: no such line */
    bool only_changed; /* publish only when the data differs from the newest event's */
    int64_t history_len; /* approximate length the stream is trimmed to */
    int64_t history_bytes; /* of the stream's messages, at most */
    int64_t data_max; /* bytes that the data lines may take; the edge has checked it */
    int64_t history_ttl_s; /* seconds after the last event until the stream goes */
};

enum { PUBLISH_AUTHOR_MAX = 8192 };

enum publish_outcome {
    PUBLISH_DONE, /* appended and sent */
    PUBLISH_DUPLICATE, /* id or key was seen in the last 5 minutes: id and position are those of the first time, nothing was sent */
    PUBLISH_UNCHANGED, /* only_changed, and it had not: id and position are the newest event's, nothing was sent */
    PUBLISH_BUS_DOWN, /* not connected, connection lost before the answer, Redis can't run it now (LOADING, BUSY, …), the channel is being moved to another shard, or too few replicas have it */
    PUBLISH_REFUSED, /* the function said no: a fault of the request that the edge should have found */
    PUBLISH_CONFLICT, /* id or key was seen in the last 5 minutes with another event: nothing was sent */
    PUBLISH_UNWRITABLE, /* Redis is there and takes no writes: out of memory, can't save, read-only, too few replicas; nothing was published */
    PUBLISH_FAILED, /* no repeat helps until an operator acts: the user's rights, a key that holds something else */
};

struct publish_answer {
    enum publish_outcome outcome;
    struct slice id; /* the first three outcomes */
    struct position at;
    const char *why; /* the other outcomes: a sentence for the client */
};

/* The answer dies after the callback. */
typedef void (*publish_cb)(void *data, const struct publish_answer *answer);

/* Opens the connections; options->on_*, ->data and ->topology are ignored. On every connect the library is loaded (FUNCTION LOAD REPLACE) before it
 * counts as ready. A Redis below 7 is one clear sentence in the log and in publish_why(), and is tried again later. `replicas`: how many must have an event
 * before it counts as published. */
struct publish *publish_open(const struct redis_options *options, unsigned replicas);
void publish_close(struct publish *publish);

/* Whether all shards take publishes, as far as the last answer told; a shard that nothing was published to is asked every second. Else the first one's sentence, valid until the
 * next turn. */
bool publish_ready(struct publish *publish);
const char *publish_why(struct publish *publish);

/* Whether this channel's shard is. */
bool publish_serves(struct publish *publish, struct slice channel);

/* Plain PUBLISH, or SPUBLISH, on this channel (its name is trusted): no history, no answer, lost while the bus is away. */
void publish_tell(struct publish *publish, struct slice channel, struct slice text);

/* Sends it; cb always runs exactly once, perhaps before this returns (bus down). "Function not found" (someone flushed the functions), or an option unknown to
 * it (an older publisher loaded its own), loads the library anew and sends once more; while the channel is on its way to another shard it is sent again and again, for two seconds at most. */
void publish_send(struct publish *publish, const struct publish_request *request, publish_cb cb, void *data);
