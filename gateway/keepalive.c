#include "gateway/keepalive.h"

#include "gateway/hub.h"

/* Streams written to in one go, so that a full slot does not hold the worker up. */
enum { BATCH = 512 };

static void insert(struct keepalive *keepalive, struct subscriber *subscriber, uint64_t delay_ms)
{
    uint32_t steps = (uint32_t)((delay_ms + keepalive->step_ms - 1) / keepalive->step_ms);
    if (steps == 0)
        steps = 1;
    if (steps >= KEEPALIVE_SLOTS)
        steps = KEEPALIVE_SLOTS - 1;
    h2o_linklist_insert(&keepalive->slots[(keepalive->now + steps) % KEEPALIVE_SLOTS], &subscriber->link);
}

static void visit(struct keepalive *keepalive, struct subscriber *subscriber, uint64_t now)
{
    uint64_t active = hub_active(subscriber);
    uint64_t idle = now > active ? now - active : 0;
    h2o_linklist_unlink(&subscriber->link);
    if (subscriber->busy || subscriber->queue.count != 0) {
        insert(keepalive, subscriber, keepalive->period_ms);
    } else if (idle + keepalive->step_ms / 2 < keepalive->period_ms) {
        insert(keepalive, subscriber, keepalive->period_ms - idle);
    } else {
        insert(keepalive, subscriber, keepalive->period_ms);
        subscriber->active_ms = now;
        metric_add(COUNT_KEEPALIVES, 1);
        subscriber_push(subscriber, keepalive->comment);
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

void keepalive_init(struct keepalive *keepalive, h2o_loop_t *loop, uint32_t period_ms)
{
    for (int i = 0; i < KEEPALIVE_SLOTS; ++i)
        h2o_linklist_init_anchor(&keepalive->slots[i]);
    keepalive->period_ms = period_ms;
    keepalive->step_ms = period_ms / (KEEPALIVE_SLOTS / 2) + 1;
    keepalive->now = 0;
    keepalive->comment = frame_of_bytes(SSE_KEEPALIVE);
    timer_init(&keepalive->timer, loop, on_step, keepalive);
    timer_start(&keepalive->timer, keepalive->step_ms);
}

void keepalive_add(struct keepalive *keepalive, struct subscriber *subscriber)
{
    subscriber->active_ms = h2o_now(keepalive->timer.loop);
    insert(keepalive, subscriber, keepalive->period_ms);
}
