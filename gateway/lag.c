#include "gateway/lag.h"

void lag_init(struct lag *lag, const struct lag_limits *limits)
{
    *lag = (struct lag){.limits = *limits};
    h2o_linklist_init_anchor(&lag->streams);
}

static void set_behind(struct lag *lag, struct subscriber *subscriber, bool behind, uint64_t now)
{
    if (behind == (subscriber->behind_ms != 0))
        return;
    subscriber->behind_ms = !behind ? 0 : (uint32_t)now == 0 ? 1 : (uint32_t)now;
    lag->behind += behind ? 1 : -1u;
}

void lag_update(struct lag *lag, struct subscriber *subscriber, uint64_t now)
{
    bool lags = subscriber->state != SUBSCRIBER_CLOSED && (subscriber->busy || subscriber->queue.count != 0);
    bool linked = h2o_linklist_is_linked(&subscriber->lag);
    if (lags && !linked) {
        subscriber->since_ms = now;
        h2o_linklist_insert(&lag->streams, &subscriber->lag);
        metric_add(COUNT_STREAMS_WAITING, 1);
    } else if (!lags && linked) {
        h2o_linklist_unlink(&subscriber->lag);
        metric_add(COUNT_STREAMS_WAITING, -1);
    }
    set_behind(lag, subscriber, lags && subscriber_backlog(subscriber) > lag->limits.queue_bytes, now);
}

void lag_progress(struct lag *lag, struct subscriber *subscriber, uint64_t now)
{
    subscriber->since_ms = now;
    if (!h2o_linklist_is_linked(&subscriber->lag))
        return;
    h2o_linklist_unlink(&subscriber->lag);
    h2o_linklist_insert(&lag->streams, &subscriber->lag);
}

static struct subscriber *at(h2o_linklist_t *link)
{
    return H2O_STRUCT_FROM_MEMBER(struct subscriber, lag, link);
}

static void close_stuck(struct lag *lag, uint64_t now)
{
    while (!h2o_linklist_is_empty(&lag->streams) && at(lag->streams.next)->since_ms + lag->limits.timeout_ms <= now)
        subscriber_close(at(lag->streams.next), CLOSE_WRITE_TIMEOUT);
}

static void close_behind(struct lag *lag, uint64_t now)
{
    for (h2o_linklist_t *link = lag->streams.next, *next; lag->behind != 0 && link != &lag->streams; link = next) {
        next = link->next;
        if (at(link)->behind_ms != 0 && (uint32_t)now - at(link)->behind_ms >= LAG_BEHIND_MS)
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
static void close_slowest(struct lag *lag)
{
    struct sum sum = sum_up();
    lag->unseen = 0;
    for (h2o_linklist_t *link = lag->streams.next, *next; sum.bytes > (int64_t)lag->limits.memory && link != &lag->streams;
         link = next) {
        next = link->next;
        if ((int64_t)subscriber_held(at(link)) < sum.average)
            continue;
        subscriber_close(at(link), CLOSE_MEMORY);
        sum = sum_up();
    }
}

void lag_check(struct lag *lag, uint64_t now)
{
    close_stuck(lag, now);
    close_behind(lag, now);
    close_slowest(lag);
}
