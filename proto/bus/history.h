/* Reading a channel's history from its Redis stream. */
#pragma once

#include "proto/bus/redis.h"
#include "proto/position.h"

struct history_entry {
    struct position at; /* the stream entry's id */
    struct slice payload; /* the message as published, for message_decode(); {NULL, 0} if the entry is not ours */
};

/* entries are oldest first, each after the one before it and at most as many as were asked for, and die after the callback. On failure entries is NULL and `why` a sentence; an absent stream is 0 entries. */
typedef void (*history_cb)(void *data, const struct history_entry *entries, size_t count, const char *why);

/* The oldest `limit` (1-10000) entries after `after`, not including it: XRANGE with an exclusive start. False: not connected, no call. */
bool history_after(struct redis *redis, struct slice channel, struct position after, size_t limit, history_cb cb, void *data)
    __attribute__((warn_unused_result));

/* The newest `limit` entries: XREVRANGE, turned round. */
bool history_last(struct redis *redis, struct slice channel, size_t limit, history_cb cb, void *data)
    __attribute__((warn_unused_result));
