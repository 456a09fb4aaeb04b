/* What is known of a channel whose history is missing or started over: the position of its last event, and since when the data set exists.
 *
 * A history alone proves nothing by its absence: it may have expired, been deleted or evicted, or all of Redis emptied. The marker {sse:NAME}:last outlives it by
 * MARKER_MS. One key for each data set, {sse:!born.N}, holds the time at which the data set was first seen: nothing is known of what was published before. */
#pragma once

#include "proto/channel.h"
#include "proto/position.h"
#include "runtime/redis/redis.h"
#include "runtime/redis/shards.h"

/* The marker lives at least this long after each event: what sse.lua adds to the history's time to live. */
#define MARKER_MS (UINT64_C(7) * 24 * 3600 * 1000)

struct marker {
    uint64_t now_ms; /* Redis's time before the others were read */
    uint64_t born_ms; /* of the data set; 0: not there */
    struct position last; /* of the channel's last event; POSITION_NONE: not there */
    bool bare; /* the history has no entry at all, and had none when `last` was read */
    struct position newest; /* of its newest entry, be it an event or not, a moment after `last` was read; POSITION_NONE: bare */
};

/* marker: NULL on failure, and `why` a sentence. */
typedef void (*marker_cb)(void *data, const struct marker *marker, const char *why);

struct marker_read; /* that is under way; goes with its callback */

/* Four commands on their way at once. NULL: not connected, no call. */
struct marker_read *marker_read(struct redis *redis, struct slice channel, const char *born_key, marker_cb cb, void *data)
    __attribute__((warn_unused_result));

/* It is not called back. */
void marker_cancel(struct marker_read *read);

/* The key of the shard's birth: of {sse:!born.0}, {sse:!born.1} … the first whose slot the shard has. "" where it has none of the first thousands. */
void born_key(char out[CHANNEL_KEY_MAX], const struct shards *shards, const struct shard *shard);

/* Reads a birth, 0 where there is none; NULL, or a sentence on failure. Sends before it TIME, whose answer is now_ms. denied: the Redis user has no right to read it. */
typedef void (*born_cb)(void *data, uint64_t now_ms, uint64_t born_ms, bool denied, const char *why);
bool born_read(struct redis *redis, const char *key, born_cb cb, void *data) __attribute__((warn_unused_result));

/* Sets it to `now_ms` where there is none yet. `cb` may be NULL; denied: the Redis user has no right to. */
typedef void (*born_set_cb)(void *data, bool denied);
void born_set(struct redis *redis, const char *key, uint64_t now_ms, born_set_cb cb, void *data);
