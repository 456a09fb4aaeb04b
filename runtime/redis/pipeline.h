/* The commands of one connection that Redis has not answered yet, oldest first: a ring that grows, so a command costs no allocation. */
#pragma once

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pipeline_item {
    void (*cb)(void *data, const redisReply *reply, const char *why); /* redis_reply_cb; may be NULL */
    void *data;
    uint64_t since_ms; /* when it was queued */
    size_t left; /* replies to come: one for each channel of SUBSCRIBE and UNSUBSCRIBE, else 1 */
    bool push; /* its replies go to on_push */
    bool loose; /* … and don't count: the next reply that is no push, or an error, ends it */
};

struct pipeline {
    struct pipeline_item *items;
    size_t capacity; /* a power of two, or 0 */
    size_t first, count;
};

/* Zeroed memory is an empty pipeline. */
void pipeline_add(struct pipeline *pipeline, const struct pipeline_item *item);

/* The oldest, NULL when empty. Valid until the next call. */
struct pipeline_item *pipeline_oldest(struct pipeline *pipeline);

/* Takes the oldest out. Gives the memory of a large ring back when that was the last one. */
struct pipeline_item pipeline_take(struct pipeline *pipeline);

void pipeline_dispose(struct pipeline *pipeline);
