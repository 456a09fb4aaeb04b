#include "gateway/canary.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "gateway/counters.h"
#include "proto/channel.h"
#include "runtime/monotonic.h"

enum { SENT_KEPT = 64 };

struct canary {
    struct canary_options options;
    /* "!canary." and chance: '!' is not in the grammar of channel names, so no client can listen to it */
    char name[32];
    bool subscribed;
    uint64_t sent; /* number of the newest that left */
    uint64_t sent_us[SENT_KEPT]; /* when, by number */
    uint64_t back; /* number of the newest that came back */
    uint64_t opened_us;
    uint64_t back_sent_us; /* when that one left */
    struct canary_wait *under_way; /* wait for canary `awaited` */
    uint64_t awaited;
    struct canary_wait *queued, **queued_tail; /* wait for the next one that leaves: so it is one at a time, however many wait */
    struct timer timer;
};

static bool publish(struct canary *canary)
{
    char channel[CHANNEL_KEY_MAX], text[24];
    if (!canary->subscribed)
        return false;
    uint64_t number = canary->sent + 1;
    struct slice argv[] = {SLICE("PUBLISH"), slice_make(channel, channel_pubsub(channel, slice_of(canary->name))),
                           slice_make(text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, number))};
    if (!redis_command(canary->options.commands, argv, 3, NULL, NULL))
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

static void launch(struct canary *canary)
{
    if (canary->under_way != NULL || canary->queued == NULL || !publish(canary))
        return;
    canary->awaited = canary->sent;
    canary->under_way = canary->queued;
    canary->queued = NULL;
    canary->queued_tail = &canary->queued;
}

static void report(const struct canary *canary)
{
    uint64_t since = canary->back == 0 ? canary->opened_us : canary->back_sent_us;
    metric_set(COUNT_CANARY_AGE, (int64_t)(monotonic_us() - since));
}

static void on_timer(void *data)
{
    struct canary *canary = data;
    report(canary);
    launch(canary);
    if (canary->under_way == NULL)
        publish(canary);
    timer_start(&canary->timer, canary->options.interval_ms);
}

struct canary *canary_open(const struct canary_options *options)
{
    struct canary *canary = h2o_mem_alloc(sizeof(*canary));
    uint64_t chance = 0;
    *canary = (struct canary){.options = *options, .opened_us = monotonic_us()};
    canary->queued_tail = &canary->queued;
    if (getrandom(&chance, sizeof(chance), 0) != sizeof(chance))
        abort();
    snprintf(canary->name, sizeof(canary->name), "!canary.%016" PRIx64, chance);
    timer_init(&canary->timer, options->loop, on_timer, canary);
    timer_start(&canary->timer, options->interval_ms);
    subscribe_add(options->subscribe, slice_of(canary->name), canary);
    return canary;
}

void *canary_tag(struct canary *canary)
{
    return canary;
}

void canary_subscribed(struct canary *canary)
{
    canary->subscribed = true;
    launch(canary);
    if (canary->under_way == NULL)
        publish(canary);
}

void canary_lost(struct canary *canary)
{
    canary->subscribed = false;
    canary_unsent(canary);
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

void canary_message(struct canary *canary, struct slice payload)
{
    char text[24] = "";
    if (payload.n == 0 || payload.n >= sizeof(text))
        return;
    memcpy(text, payload.p, payload.n);
    uint64_t number = strtoull(text, NULL, 10);
    if (number <= canary->back || number > canary->sent)
        return;
    canary->back = number;
    canary->back_sent_us = canary->sent_us[number % SENT_KEPT];
    report(canary);
    metric_time(COUNT_BUS_ROUND_TRIP, monotonic_us() - canary->back_sent_us);
    if (canary->under_way != NULL && number >= canary->awaited)
        run_waits(canary);
}

void canary_barrier(struct canary *canary, struct canary_wait *wait)
{
    enqueue(canary, wait);
    launch(canary);
}

uint64_t canary_age_ms(const struct canary *canary)
{
    return canary->back == 0 ? UINT64_MAX : (monotonic_us() - canary->back_sent_us) / 1000;
}
