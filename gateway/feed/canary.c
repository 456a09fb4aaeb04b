#include "gateway/feed/canary.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/counters.h"
#include "proto/channel.h"
#include "runtime/monotonic.h"
#include "runtime/redis/redis_error.h"

enum {
    SENT_KEPT = 64,
    TRIES = 1 << 18, /* for a name in a slot of the shard: enough where it has but one of them */
};

struct canary {
    struct canary_options options;
    struct subscription subscription;
    char name[CHANNEL_KEY_MAX]; /* of its pub/sub channel, chosen at random; "" while it has none */
    bool subscribed;
    bool mute; /* Redis refuses its newest answered one for want of rights */
    char refused[100 + CHANNEL_KEY_MAX]; /* why, with the rights that it takes; "" until it was */
    uint64_t sent; /* number of the newest that left */
    uint64_t sent_us[SENT_KEPT]; /* when, by number */
    uint64_t came; /* number of the newest that came and is not believed yet; 0: none */
    uint64_t back; /* number of the newest that came back */
    uint64_t back_sent_us; /* when that one left */
    struct canary_wait *under_way; /* wait for canary `awaited` */
    uint64_t awaited;
    struct canary_wait *queued, **queued_tail; /* wait for the next one that leaves: so it is one at a time, however many wait */
    struct timer timer;
};

static void on_published(void *data, const redisReply *reply, const char *why)
{
    (void)why;
    if (reply != NULL)
        ((struct canary *)data)->mute = redis_error_is(reply, "NOPERM ");
}

static bool publish(struct canary *canary)
{
    char text[24];
    if (!canary->subscribed)
        return false;
    uint64_t number = canary->sent + 1;
    struct slice argv[] = {canary->options.words->publish, slice_of(canary->name),
                           slice_make(text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, number))};
    if (!redis_command(canary->options.commands, argv, 3, on_published, canary))
        return false;
    canary->sent = number;
    canary->sent_us[number % SENT_KEPT] = monotonic_us();
    return true;
}

static void enqueue(struct canary *canary, struct canary_wait *wait)
{
    wait->next = NULL;
    *canary->queued_tail = wait;
    canary->queued_tail = &wait->next;
}

/* Whether one left for those that wait. */
static bool launch(struct canary *canary)
{
    if (canary->under_way != NULL || canary->queued == NULL || !publish(canary))
        return false;
    canary->awaited = canary->sent;
    canary->under_way = canary->queued;
    canary->queued = NULL;
    canary->queued_tail = &canary->queued;
    return true;
}

/* Also while one is under way: it may be lost between a primary and its replica, where no connection of ours breaks, and a later number proves more. */
static void on_timer(void *data)
{
    struct canary *canary = data;
    if (!launch(canary))
        publish(canary);
    canary->options.on_beat(canary->options.data);
    timer_start(&canary->timer, canary->options.interval_ms);
}

void canary_unsent(struct canary *canary)
{
    struct canary_wait *wait = canary->under_way;
    canary->under_way = NULL;
    for (struct canary_wait *next; wait != NULL; wait = next) {
        next = wait->next;
        enqueue(canary, wait);
    }
}

void canary_lost(struct canary *canary)
{
    canary->subscribed = false;
    canary->came = 0;
    canary_unsent(canary);
}

static void run_waits(struct canary *canary)
{
    struct canary_wait *wait = canary->under_way;
    canary->under_way = NULL;
    while (wait != NULL) {
        struct canary_wait *next = wait->next;
        wait->cb(wait->data);
        wait = next;
    }
    launch(canary);
}

void canary_believe(struct canary *canary)
{
    uint64_t number = canary->came;
    canary->came = 0;
    if (number <= canary->back)
        return;
    canary->back = number;
    if (canary->sent - number < SENT_KEPT) {
        canary->back_sent_us = canary->sent_us[number % SENT_KEPT];
        canary->options.on_back(canary->options.data);
        metric_time(COUNT_BUS_ROUND_TRIP, monotonic_us() - canary->back_sent_us);
    }
    if (canary->under_way != NULL && number >= canary->awaited)
        run_waits(canary);
}

/* ---- its subscription ---- */

static struct canary *canary_of(struct subscription *subscription)
{
    return H2O_STRUCT_FROM_MEMBER(struct canary, subscription, subscription);
}

static void on_subscribed(struct subscription *subscription)
{
    struct canary *canary = canary_of(subscription);
    canary->subscribed = true;
    if (!launch(canary))
        publish(canary);
}

static void on_message(struct subscription *subscription, struct slice payload)
{
    struct canary *canary = canary_of(subscription);
    char text[24] = "";
    if (payload.n == 0 || payload.n >= sizeof(text))
        return;
    memcpy(text, payload.p, payload.n);
    uint64_t number = strtoull(text, NULL, 10);
    if (number <= canary->back || number > canary->sent)
        return;
    canary->came = number;
    if (canary->options.on_came != NULL)
        canary->options.on_came(canary->options.data);
    else
        canary_believe(canary);
}

static void on_unsubscribed(struct subscription *subscription)
{
    canary_lost(canary_of(subscription));
}

/* Who may not even hear its own canary may hear nothing: that is the connection's trouble, and no channel's. */
static void on_refused(struct subscription *subscription, const char *why)
{
    struct canary *canary = canary_of(subscription);
    char own[CHANNEL_KEY_MAX];
    (void)why;
    channel_pubsub(own, SLICE("!*"));
    snprintf(canary->refused, sizeof(canary->refused),
             "the Redis user may not subscribe to the gateway's own channels (needs +%s and &%s)",
             canary->options.words->subscribed.p, own);
    subscribe_drop(canary->options.subscribe, canary->refused);
}

static const struct subscription_events events = {
    .on_subscribed = on_subscribed, .on_message = on_message, .on_unsubscribed = on_unsubscribed, .on_refused = on_refused};

struct canary *canary_open(const struct canary_options *options)
{
    struct canary *canary = h2o_mem_alloc(sizeof(*canary));
    *canary = (struct canary){.options = *options, .subscription = {&events}};
    canary->queued_tail = &canary->queued;
    timer_init(&canary->timer, options->loop, on_timer, canary);
    timer_start(&canary->timer, options->interval_ms);
    return canary;
}

static bool is_placed(const struct canary *canary, const struct shards *shards, const struct shard *shard)
{
    return canary->name[0] != 0 && shards_of(shards, slot_of(slice_of(canary->name))) == shard;
}

static void spell_name(struct canary *canary, uint64_t number)
{
    char own[32];
    snprintf(own, sizeof(own), CANARY_NAME, number);
    channel_pubsub(canary->name, slice_of(own));
}

static void choose_name(struct canary *canary, const struct shards *shards, const struct shard *shard)
{
    uint64_t chance;
    arc4random_buf(&chance, sizeof(chance));
    canary->name[0] = 0;
    for (uint64_t i = 0; i < TRIES && !is_placed(canary, shards, shard); ++i)
        spell_name(canary, chance + i);
    if (!is_placed(canary, shards, shard))
        canary->name[0] = 0; /* at the next move */
}

void canary_place(struct canary *canary, const struct shards *shards, const struct shard *shard)
{
    if (is_placed(canary, shards, shard))
        return;
    canary_lost(canary);
    if (canary->name[0] != 0)
        subscribe_remove(canary->options.subscribe, slice_of(canary->name));
    choose_name(canary, shards, shard);
    if (canary->name[0] != 0)
        subscribe_add(canary->options.subscribe, slice_of(canary->name), &canary->subscription);
}

void canary_barrier(struct canary *canary, struct canary_wait *wait)
{
    enqueue(canary, wait);
    launch(canary);
}

void canary_close(struct canary *canary)
{
    canary_unsent(canary);
    for (struct canary_wait *wait = canary->queued, *next; wait != NULL; wait = next) {
        next = wait->next;
        wait->cb(wait->data);
    }
    timer_dispose(&canary->timer);
    free(canary);
}

uint64_t canary_proven_us(const struct canary *canary)
{
    return canary->back_sent_us;
}

const char *canary_why(const struct canary *canary)
{
    return canary->mute ? "the Redis user may not publish on the gateway's own channels (needs +publish, in a cluster +spublish)"
                        : "messages do not come back from Redis";
}
