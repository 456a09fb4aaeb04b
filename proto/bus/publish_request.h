/* What is to be published, and what became of it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/position.h"
#include "runtime/slice.h"

struct publish_request {
    struct slice channel; /* checked by channel_check() */
    struct slice data; /* the event's data; the function splits it into lines */
    bool count; /* data is ignored: the channel's next integer, from 1, is the data */
    struct slice type; /* empty: "message"; checked by event_check_type() */
    struct slice id; /* empty: the function makes one; checked by event_check_id() */
    struct slice key; /* idempotency key, empty: none; at most 200 bytes */
    struct slice author; /* the key is this author's alone; empty: nobody's; at most PUBLISH_AUTHOR_MAX bytes */
    int32_t retry_ms; /* the event's retry line; EVENT_RETRY_NONE: no such line */
    bool
        end; /* nothing follows: the event is the channel's last one; with empty data only the end is published. Excludes count, only_changed and lease_s */
    uint32_t lease_s; /* if no event follows within so many seconds, the channel counts as abandoned; 0: no such promise */
    bool only_changed; /* publish only when the data differs from the newest event's */
    int64_t history_len; /* approximate length the stream is trimmed to */
    int64_t history_bytes; /* of the stream's messages, at most */
    int64_t data_max; /* bytes that the data lines may take; the edge has checked it */
    int64_t history_ttl_s; /* seconds after the last event until the stream goes */
};

/* One event of a batch; its fields as above. The batch is a publish_request whose own fields of an event don't count. */
struct publish_event {
    struct slice data, type, id;
    int32_t retry_ms;
    uint32_t lease_s;
    bool end; /* the last one only */
};

enum { PUBLISH_AUTHOR_MAX = 8192, PUBLISH_EVENTS_MAX = 1000 /* in a batch */ };

enum publish_outcome {
    PUBLISH_DONE, /* appended and sent */
    PUBLISH_DUPLICATE, /* id or key was seen in the last 5 minutes: id and position are those of the first time, nothing was sent */
    PUBLISH_UNCHANGED, /* only_changed, and it had not: id and position are the newest event's, nothing was sent */
    PUBLISH_BUS_DOWN, /* not connected, connection lost before the answer, Redis can't run it now (LOADING, BUSY, …), the channel is being moved to another shard, or too few replicas have it */
    PUBLISH_REFUSED, /* the function said no: a fault of the request that the edge should have found */
    PUBLISH_CONFLICT, /* id or key was seen in the last 5 minutes with another event: nothing was sent */
    PUBLISH_ENDED, /* the channel has ended: nothing was sent */
    PUBLISH_UNWRITABLE, /* Redis is there and takes no writes: out of memory, can't save, read-only, too few replicas; nothing was published */
    PUBLISH_FAILED, /* no repeat helps until an operator acts: the user's rights, a key that holds something else */
};

struct publish_answer {
    enum publish_outcome outcome;
    struct slice id; /* the first three outcomes */
    const struct slice *ids; /* of a batch, in place of `id`: one for each of its events */
    struct position at;
    const char *why; /* the other outcomes: a sentence for the client */
};

/* The answer dies after the callback. */
typedef void (*publish_cb)(void *data, const struct publish_answer *answer);
