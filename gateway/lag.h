/* The streams of a worker that wait for their client to read, the longest-waiting first: who waits too long is closed, and when all queues together hold
 * too much, the slowest go first. Worker thread only. */
#pragma once

#include "gateway/subscriber.h"

struct lag {
    h2o_linklist_t streams; /* by subscriber->lag, oldest subscriber->since_ms first */
    uint64_t timeout_ms; /* without any progress */
    size_t bytes, limit; /* in all queues of the worker */
};

void lag_init(struct lag *lag, uint64_t timeout_ms, size_t limit);

/* After a change of the stream's queue or of `busy`: takes it in or lets it out. */
void lag_update(struct lag *lag, struct subscriber *subscriber, uint64_t now);

/* It made progress: its wait starts anew. */
void lag_progress(struct lag *lag, struct subscriber *subscriber, uint64_t now);

/* `delta` more or fewer bytes are queued. */
static inline void lag_count(struct lag *lag, int64_t delta)
{
    lag->bytes += (size_t)delta;
    metric_add(COUNT_QUEUED_BYTES, delta);
}

/* Closes who waited too long, and the slowest while there is too much; now and then, and when bytes > limit. */
void lag_check(struct lag *lag, uint64_t now);
