#include "runtime/redis/wait_replicas.h"

#include <inttypes.h>
#include <stdio.h>

#include "runtime/redis/redis_error.h"

static void answer_all(struct wait_replicas *wait, const char *why)
{
    struct wait_replicas_item *item = wait->first;
    wait->first = wait->last = NULL;
    for (struct wait_replicas_item *next; item != NULL; item = next) {
        next = item->next;
        item->cb(item->data, why);
    }
}

static const char *fault_of(struct wait_replicas *wait, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_INTEGER && reply->integer >= (long long)wait->replicas)
        return NULL;
    if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(wait->why, sizeof(wait->why),
                 "the event is on %lld of PUBLISH_REPLICAS=%u replicas after %" PRIu64
                 " ms; it may be delivered all the same: send it again with the same Idempotency-Key",
                 reply->integer, wait->replicas, wait->timeout_ms);
    else if (redis_error_is(reply, "NOPERM "))
        return "the Redis user may not wait for replicas: it needs +wait";
    else
        return redis_error_down(reply) != NULL ? redis_error_down(reply) : "Redis does not wait for replicas";
    return wait->why;
}

static void send_wait(struct wait_replicas *wait);

/* What is held now was answered before this, so it was sent before the WAIT. */
static void on_waited(void *data, const redisReply *reply, const char *why)
{
    struct wait_replicas *wait = data;
    (void)why;
    wait->waiting = false;
    if (reply == NULL)
        return; /* wait_replicas_lost() follows */
    if (wait->behind)
        send_wait(wait);
    answer_all(wait, fault_of(wait, reply));
}

static void send_wait(struct wait_replicas *wait)
{
    char count[16], timeout[24];
    struct slice argv[] = {SLICE("WAIT"), slice_make(count, (size_t)snprintf(count, sizeof(count), "%u", wait->replicas)),
                           slice_make(timeout, (size_t)snprintf(timeout, sizeof(timeout), "%" PRIu64, wait->timeout_ms))};
    wait->behind = false;
    wait->waiting = redis_command(wait->redis, argv, 3, on_waited, wait);
    if (!wait->waiting)
        redis_drop(wait->redis, "too many bytes are waiting to be sent to Redis");
}

void wait_replicas_sent(struct wait_replicas *wait)
{
    if (wait->waiting)
        wait->behind = true;
    else
        send_wait(wait);
}

void wait_replicas_hold(struct wait_replicas *wait, struct wait_replicas_item *item)
{
    item->next = NULL;
    if (wait->first == NULL)
        wait->first = item;
    else
        wait->last->next = item;
    wait->last = item;
}

void wait_replicas_lost(struct wait_replicas *wait, const char *why)
{
    wait->waiting = wait->behind = false;
    answer_all(wait, why);
}
