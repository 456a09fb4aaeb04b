#include "gateway/lag.h"

void lag_init(struct lag *lag, uint64_t timeout_ms, size_t limit)
{
    h2o_linklist_init_anchor(&lag->streams);
    lag->timeout_ms = timeout_ms;
    lag->bytes = 0;
    lag->limit = limit;
}

void lag_update(struct lag *lag, struct subscriber *subscriber, uint64_t now)
{
    bool lags = subscriber->state != SUBSCRIBER_CLOSED && (subscriber->busy || subscriber->queue.count != 0);
    bool linked = h2o_linklist_is_linked(&subscriber->lag);
    if (lags && !linked) {
        subscriber->since_ms = now;
        h2o_linklist_insert(&lag->streams, &subscriber->lag);
    } else if (!lags && linked) {
        h2o_linklist_unlink(&subscriber->lag);
    }
}

void lag_progress(struct lag *lag, struct subscriber *subscriber, uint64_t now)
{
    subscriber->since_ms = now;
    if (!h2o_linklist_is_linked(&subscriber->lag))
        return;
    h2o_linklist_unlink(&subscriber->lag);
    h2o_linklist_insert(&lag->streams, &subscriber->lag);
}

static struct subscriber *first(const struct lag *lag)
{
    if (h2o_linklist_is_empty((h2o_linklist_t *)&lag->streams))
        return NULL;
    return H2O_STRUCT_FROM_MEMBER(struct subscriber, lag, lag->streams.next);
}

/* The one that waits longest of those that hold memory. */
static struct subscriber *slowest(const struct lag *lag)
{
    for (h2o_linklist_t *link = lag->streams.next; link != &lag->streams; link = link->next) {
        struct subscriber *subscriber = H2O_STRUCT_FROM_MEMBER(struct subscriber, lag, link);
        if (subscriber->queue.bytes != 0)
            return subscriber;
    }
    return NULL;
}

void lag_check(struct lag *lag, uint64_t now)
{
    struct subscriber *subscriber;
    while ((subscriber = first(lag)) != NULL && subscriber->since_ms + lag->timeout_ms <= now)
        subscriber_close(subscriber, CLOSE_WRITE_TIMEOUT);
    while (lag->bytes > lag->limit && (subscriber = slowest(lag)) != NULL)
        subscriber_close(subscriber, CLOSE_MEMORY);
}
