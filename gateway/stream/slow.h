/* Tracks the streams of a worker that wait for their client to read, and closes those that make no progress, those that are too far behind for too long, and
 * the slowest while all queues of the process hold too much. Each event counts once in that sum, however many queues hold it. The hub calls slow_check(). Pages of
 * history have a bound of their own, see replay_state.h; what libh2o holds for HTTP/2 too, see runtime/h2o/README.md. Worker thread only. */
#pragma once

#include "gateway/stream/subscriber.h"

struct slow_limits {
    uint64_t timeout_ms; /* WRITE_TIMEOUT: without any progress */
    size_t queue_bytes; /* QUEUE_BYTES: of one stream, see subscriber_backlog(); more may wait for SLOW_BEHIND_MS */
    size_t memory; /* MEMORY_LIMIT: of all queues of all workers together */
};

enum { SLOW_BEHIND_MS = 5000 /* a client that reads catches up with a burst in this time */ };

struct slow {
    h2o_linklist_t streams; /* by subscriber->slow, longest without progress first */
    struct slow_limits limits;
    uint32_t behind; /* of them, above limits.queue_bytes */
    int64_t seen; /* this thread's part of the sum over all workers when that was last compared */
};

void slow_init(struct slow *slow, const struct slow_limits *limits);

/* Adds a stream that waits, removes one that does not, and restarts its wait when it made progress (clears `progress`); see subscriber_owner.changed. */
void slow_update(struct slow *slow, struct subscriber *subscriber, uint64_t now);

/* True when so much was queued since the last look that the sum should be looked at now and not at the next tick. */
static inline bool slow_grew(const struct slow *slow)
{
    return metric_own(COUNT_QUEUED_BYTES) - slow->seen > (int64_t)(slow->limits.memory / 64);
}

/* Closes the streams that wait too long or are too far behind, and the slowest while there is too much; now and then, and when slow_grew(). */
void slow_check(struct slow *slow, uint64_t now);
