/* Holds answers back until enough replicas have the written event: one WAIT at a time goes behind the writes, on their connection, and answers all that
 * were sent before it. The writes that come meanwhile share the next one, so the more there are, the fewer WAITs each costs. One loop's thread. */
#pragma once

#include "runtime/redis/redis.h"

struct wait_replicas_item {
    void (*cb)(void *data, const char *why); /* why: NULL, or a sentence that stands until the next turn */
    void *data;
    struct wait_replicas_item *next; /* its own */
};

struct wait_replicas {
    struct redis *redis;
    unsigned replicas; /* how many must have it; not 0 */
    uint64_t timeout_ms; /* … within this */
    /* its own; starts zeroed */
    bool waiting; /* a WAIT is under way */
    bool behind; /* … and writes were sent after it */
    struct wait_replicas_item *first, *last; /* answered by Redis */
    char why[200];
};

/* Right after a write was queued. */
void wait_replicas_sent(struct wait_replicas *wait);

/* Redis has answered the write: the item's callback runs once, when the replicas have it or not. */
void wait_replicas_hold(struct wait_replicas *wait, struct wait_replicas_item *item);

/* The connection is gone, and all commands were called back. */
void wait_replicas_lost(struct wait_replicas *wait, const char *why);
