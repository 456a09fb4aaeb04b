/* The streams of a worker that wait for their client to read, and who of them is closed for it: a client that reads nothing for too long, a client too far behind
 * for too long, and the slowest while all queues of the process hold too much. Each event counts once in that sum, however many queues hold it. Worker thread only. */
#pragma once

#include "gateway/subscriber.h"

struct lag_limits {
    uint64_t timeout_ms; /* without any progress */
    size_t queue_bytes; /* of one stream, see subscriber_backlog(); more may wait for LAG_BEHIND_MS */
    size_t memory; /* of all queues of all workers together */
};

enum { LAG_BEHIND_MS = 5000 /* a client that reads catches up with a burst in this time */ };

struct lag {
    h2o_linklist_t streams; /* by subscriber->lag, longest without progress first */
    struct lag_limits limits;
    uint32_t behind; /* of them, above limits.queue_bytes */
    int64_t unseen; /* bytes counted since the sum over all workers was last compared */
};

void lag_init(struct lag *lag, const struct lag_limits *limits);

/* After a change of the stream's queue, its state or `busy`: takes it in or lets it out. */
void lag_update(struct lag *lag, struct subscriber *subscriber, uint64_t now);

/* It made progress: its wait starts anew. */
void lag_progress(struct lag *lag, struct subscriber *subscriber, uint64_t now);

/* Queues hold `delta` more or fewer bytes. */
static inline void lag_count(struct lag *lag, int64_t delta)
{
    lag->unseen += delta;
    metric_add(COUNT_QUEUED_BYTES, delta);
}

/* True when so much was queued since the last look that the sum should be looked at now and not at the next tick. */
static inline bool lag_grew(const struct lag *lag)
{
    return lag->unseen > (int64_t)(lag->limits.memory / 64);
}

/* Closes the streams that wait too long or are too far behind, and the slowest while there is too much; now and then, and when lag_grew(). */
void lag_check(struct lag *lag, uint64_t now);
