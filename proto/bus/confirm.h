/* Answers that are held back until enough replicas have what was written: one WAIT at a time goes behind the writes, on their connection, and answers all that
 * were sent before it. The writes that come meanwhile share the next one, so the more there are, the fewer WAITs each costs. One loop's thread. */
#pragma once

#include "proto/bus/redis.h"

struct confirm_item {
    void (*cb)(void *data, const char *why); /* why: NULL, or a sentence that stands until the next turn */
    void *data;
    struct confirm_item *next; /* its own */
};

struct confirm {
    struct redis *redis;
    unsigned replicas; /* how many must have it; not 0 */
    uint64_t timeout_ms; /* … within this */
    /* its own; starts zeroed */
    bool waiting; /* a WAIT is under way */
    bool behind; /* … and writes were sent after it */
    struct confirm_item *first, *last; /* answered by Redis */
    char why[200];
};

/* Right after a write was queued. */
void confirm_sent(struct confirm *confirm);

/* Redis has answered the write: the item's callback runs once, when the replicas have it or not. */
void confirm_hold(struct confirm *confirm, struct confirm_item *item);

/* The connection is gone, and all commands were called back. */
void confirm_lost(struct confirm *confirm, const char *why);
