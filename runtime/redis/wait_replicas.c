#include "runtime/redis/wait_replicas.h"

#include <inttypes.h>
#include <stdio.h>

#include "runtime/redis/redis_error.h"

static void answer_all(struct wait_replicas *confirm, const char *why)
{
    struct wait_replicas_item *item = confirm->first;
    confirm->first = confirm->last = NULL;
    for (struct wait_replicas_item *next; item != NULL; item = next) {
        next = item->next;
        item->cb(item->data, why);
    }
}

static const char *fault_of(struct wait_replicas *confirm, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_INTEGER && reply->integer >= (long long)confirm->replicas)
        return NULL;
    if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(confirm->why, sizeof(confirm->why),
                 "the event is on %lld of PUBLISH_REPLICAS=%u replicas after %" PRIu64
                 " ms; it may be delivered all the same: send it again with the same Idempotency-Key",
                 reply->integer, confirm->replicas, confirm->timeout_ms);
    else if (redis_error_is(reply, "NOPERM "))
        return "the Redis user may not wait for replicas: it needs +wait";
    else
        return redis_error_down(reply) != NULL ? redis_error_down(reply) : "Redis does not wait for replicas";
    return confirm->why;
}

static void send_wait(struct wait_replicas *confirm);

/* What is held now was answered before this, so it was sent before the WAIT. */
static void on_waited(void *data, const redisReply *reply, const char *why)
{
    struct wait_replicas *confirm = data;
    (void)why;
    confirm->waiting = false;
    if (reply == NULL)
        return; /* wait_replicas_lost() follows */
    if (confirm->behind)
        send_wait(confirm);
    answer_all(confirm, fault_of(confirm, reply));
}

static void send_wait(struct wait_replicas *confirm)
{
    char count[16], timeout[24];
    struct slice argv[] = {SLICE("WAIT"), slice_make(count, (size_t)snprintf(count, sizeof(count), "%u", confirm->replicas)),
                           slice_make(timeout, (size_t)snprintf(timeout, sizeof(timeout), "%" PRIu64, confirm->timeout_ms))};
    confirm->behind = false;
    confirm->waiting = redis_command(confirm->redis, argv, 3, on_waited, confirm);
    if (!confirm->waiting)
        redis_drop(confirm->redis, "too much waits to be sent to Redis");
}

void wait_replicas_sent(struct wait_replicas *confirm)
{
    if (confirm->waiting)
        confirm->behind = true;
    else
        send_wait(confirm);
}

void wait_replicas_hold(struct wait_replicas *confirm, struct wait_replicas_item *item)
{
    item->next = NULL;
    if (confirm->first == NULL)
        confirm->first = item;
    else
        confirm->last->next = item;
    confirm->last = item;
}

void wait_replicas_lost(struct wait_replicas *confirm, const char *why)
{
    confirm->waiting = confirm->behind = false;
    answer_all(confirm, why);
}
