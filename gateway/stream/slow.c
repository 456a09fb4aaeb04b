#include "gateway/stream/slow.h"

void slow_init(struct slow *slow, const struct slow_limits *limits)
{
    *slow = (struct slow){.limits = *limits, .seen = metric_own(COUNT_QUEUED_BYTES)};
    h2o_linklist_init_anchor(&slow->streams);
}

static void set_behind(struct slow *slow, struct subscriber *subscriber, bool behind, uint64_t now)
{
    if (behind == (subscriber->behind_ms != 0))
        return;
    subscriber->behind_ms = !behind ? 0 : (uint32_t)now == 0 ? 1 : (uint32_t)now;
    slow->behind += behind ? 1 : -1u;
}

void slow_update(struct slow *slow, struct subscriber *subscriber, uint64_t now)
{
    bool waited = h2o_linklist_is_linked(&subscriber->slow), waits = subscriber->waits;
    if (waited && (subscriber->progress || !waits))
        h2o_linklist_unlink(&subscriber->slow);
    if (waits && (subscriber->progress || !waited)) {
        subscriber->since_ms = now;
        h2o_linklist_insert(&slow->streams, &subscriber->slow);
    }
    subscriber->progress = false;
    metric_add(COUNT_STREAMS_WAITING, waits - waited);
    set_behind(slow, subscriber, waits && subscriber_backlog(subscriber) > slow->limits.queue_bytes, now);
}

static struct subscriber *at(h2o_linklist_t *link)
{
    return H2O_STRUCT_FROM_MEMBER(struct subscriber, slow, link);
}

static void close_stuck(struct slow *slow, uint64_t now)
{
    while (!h2o_linklist_is_empty(&slow->streams) && at(slow->streams.next)->since_ms + slow->limits.timeout_ms <= now)
        subscriber_close(at(slow->streams.next), CLOSE_WRITE_TIMEOUT);
}

static void close_behind(struct slow *slow, uint64_t now)
{
    for (h2o_linklist_t *link = slow->streams.next, *next; slow->behind != 0 && link != &slow->streams; link = next) {
        next = link->next;
        if (at(link)->behind_ms != 0 && (uint32_t)now - at(link)->behind_ms >= SLOW_BEHIND_MS)
            subscriber_close(at(link), CLOSE_QUEUE_FULL);
    }
}

/* What waits in all queues of the process, and what each stream that waits holds of it on average. */
struct sum {
    int64_t bytes, average;
};

static struct sum sum_up(void)
{
    int64_t bytes = metric_sum(COUNT_QUEUED_BYTES), streams = metric_sum(COUNT_STREAMS_WAITING);
    return (struct sum){bytes, streams == 0 ? 0 : bytes / streams};
}

/* Closes the slowest until the sum is within the limit. A stream that holds less than the average stays: it is not what the memory is for, and
 * while the sum is too high there is always one that holds more. */
static void close_slowest(struct slow *slow)
{
    struct sum sum = sum_up();
    slow->seen = metric_own(COUNT_QUEUED_BYTES);
    for (h2o_linklist_t *link = slow->streams.next, *next; sum.bytes > (int64_t)slow->limits.memory && link != &slow->streams;
         link = next) {
        next = link->next;
        if ((int64_t)subscriber_held(at(link)) < sum.average)
            continue;
        subscriber_close(at(link), CLOSE_MEMORY);
        sum = sum_up();
    }
}

void slow_check(struct slow *slow, uint64_t now)
{
    close_stuck(slow, now);
    close_behind(slow, now);
    close_slowest(slow);
}
