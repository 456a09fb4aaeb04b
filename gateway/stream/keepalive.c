#include "gateway/stream/keepalive.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include "gateway/stream/fanout.h"
#include "gateway/stream/transport.h"

/* Streams looked at in one go, so that a full slot does not hold the worker up. */
enum { BATCH = 512 };

/* Looks at it again after this, or when it is to be ended. */
static void insert(struct keepalive *keepalive, struct subscriber *subscriber, uint64_t delay_ms, uint64_t now)
{
    uint64_t left_ms = subscriber->rotate_ms > now ? subscriber->rotate_ms - now : 0;
    if (left_ms < delay_ms)
        delay_ms = left_ms;
    uint32_t steps = (uint32_t)((delay_ms + keepalive->step_ms - 1) / keepalive->step_ms);
    if (steps == 0)
        steps = 1;
    if (steps >= KEEPALIVE_SLOTS)
        steps = KEEPALIVE_SLOTS - 1;
    h2o_linklist_insert(&keepalive->slots[(keepalive->now + steps) % KEEPALIVE_SLOTS], &subscriber->link);
}

/* Whether the peer owes an acknowledgement and nothing at all was heard of it for a period. A client that only does not read still acknowledges
 * (window probes), so TCP_USER_TIMEOUT would be the wrong judge. */
static bool vanished(const struct keepalive *keepalive, const struct subscriber *subscriber)
{
    struct tcp_info info;
    socklen_t size = sizeof(info);
    int fd = subscriber->transport->fd(subscriber);
    if (fd == -1 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return false;
    return info.tcpi_unacked != 0 && info.tcpi_retransmits != 0 &&
           info.tcpi_last_ack_recv >= keepalive->period_ms - keepalive->step_ms;
}

static void visit(struct keepalive *keepalive, struct subscriber *subscriber, uint64_t now)
{
    uint64_t active = fanout_active(subscriber);
    uint64_t idle = now > active ? now - active : 0;
    h2o_linklist_unlink(&subscriber->link);
    insert(keepalive, subscriber, idle < keepalive->period_ms ? keepalive->period_ms - idle : keepalive->period_ms, now);
    if (now >= subscriber->rotate_ms) {
        keepalive->on_rotate(keepalive->data, subscriber);
    } else if (vanished(keepalive, subscriber)) {
        shutdown(subscriber->transport->fd(subscriber), SHUT_RDWR); /* on HTTP/2 its other streams are as lost */
        subscriber_close(subscriber, CLOSE_VANISHED);
    } else if (subscriber->request == NULL && !subscriber->busy && subscriber->queue.count == 0 &&
               idle + keepalive->step_ms / 2 >= keepalive->period_ms) {
        subscriber->active_ms = now;
        metric_add(COUNT_KEEPALIVES, 1);
        subscriber_push(subscriber, comment_frame());
    }
}

static void on_step(void *data)
{
    struct keepalive *keepalive = data;
    h2o_linklist_t *slot = &keepalive->slots[keepalive->now];
    uint64_t now = h2o_now(keepalive->timer.loop);
    for (int i = 0; i < BATCH && !h2o_linklist_is_empty(slot); ++i)
        visit(keepalive, H2O_STRUCT_FROM_MEMBER(struct subscriber, link, slot->next), now);
    if (!h2o_linklist_is_empty(slot)) {
        timer_start(&keepalive->timer, 1);
        return;
    }
    keepalive->now = (keepalive->now + 1) % KEEPALIVE_SLOTS;
    timer_start(&keepalive->timer, keepalive->step_ms);
}

void keepalive_init(struct keepalive *keepalive, h2o_loop_t *loop, uint32_t period_ms,
                    void (*on_rotate)(void *data, struct subscriber *subscriber), void *data)
{
    for (int i = 0; i < KEEPALIVE_SLOTS; ++i)
        h2o_linklist_init_anchor(&keepalive->slots[i]);
    keepalive->period_ms = period_ms;
    keepalive->step_ms = period_ms / (KEEPALIVE_SLOTS / 2) + 1;
    keepalive->now = keepalive->count = 0;
    keepalive->on_rotate = on_rotate;
    keepalive->data = data;
    timer_init(&keepalive->timer, loop, on_step, keepalive);
    timer_start(&keepalive->timer, keepalive->step_ms);
}

void keepalive_add(struct keepalive *keepalive, struct subscriber *subscriber)
{
    subscriber->active_ms = h2o_now(keepalive->timer.loop);
    insert(keepalive, subscriber, keepalive->period_ms, subscriber->active_ms);
    ++keepalive->count;
}

void keepalive_remove(struct keepalive *keepalive, struct subscriber *subscriber)
{
    h2o_linklist_unlink(&subscriber->link);
    --keepalive->count;
}

void keepalive_each(struct keepalive *keepalive, void (*cb)(void *data, struct subscriber *subscriber), void *data)
{
    for (int i = 0; i < KEEPALIVE_SLOTS; ++i)
        for (h2o_linklist_t *link = keepalive->slots[i].next, *next; link != &keepalive->slots[i]; link = next) {
            next = link->next;
            cb(data, H2O_STRUCT_FROM_MEMBER(struct subscriber, link, link));
        }
}

struct subscriber *keepalive_any(const struct keepalive *keepalive)
{
    for (int i = 0; i < KEEPALIVE_SLOTS; ++i)
        if (keepalive->slots[i].next != &keepalive->slots[i])
            return H2O_STRUCT_FROM_MEMBER(struct subscriber, link, keepalive->slots[i].next);
    return NULL;
}
