/* What the uplinks tell of their shards: whether the bus is up, since when it is proven, how far clocks differ, and whose channels have to move. The connections are this file. */
#include "gateway/feed/uplink.h"

#include <stdlib.h>

#include "gateway/counters.h"
#include "proto/bus/marker.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"
#include "runtime/redis/shards_open.h"
#include "tests/check.h"

enum { SHARDS = 2 };

/* ---- the shards and their connections ---- */

struct redis {
    struct redis_options options;
    bool ready, moved;
    unsigned commands, drops;
};

struct subscribe {
    struct subscribe_events events;
    bool ready;
    size_t under_way, adds;
};

struct canary {
    struct canary_options options;
    uint64_t proven_us;
    unsigned lost, unsent, believed;
};

static struct redis commands[SHARDS];
static struct subscribe subscribes[SHARDS];
static struct canary canaries[SHARDS];
static unsigned opened, closed;
static struct shard all[SHARDS];
static struct shard *by_slot[SLOTS];
static struct shards shards = {.by_slot = by_slot};
static const char *shards_fault;
static struct {
    born_cb cb;
    void *data;
} born_reads[SHARDS];
static unsigned born_sets;

struct shards *shards_open(const struct shards_options *options)
{
    shards.options = *options;
    for (int i = 0; i < SHARDS; ++i)
        options->on_shard(options->data, &all[i]);
    for (int slot = 0; slot < SLOTS; ++slot)
        by_slot[slot] = &all[slot % SHARDS];
    return &shards;
}

const char *shards_why(struct shards *of)
{
    (void)of;
    return shards_fault;
}

char *shard_sentence(char *out, size_t n, const struct shards *of, const struct shard *shard, const char *why)
{
    (void)of;
    snprintf(out, n, "%d: %s", (int)(shard - all), why);
    return out;
}

struct redis *redis_open(const struct redis_options *options)
{
    commands[opened] = (struct redis){.options = *options};
    return &commands[opened];
}

void redis_close(struct redis *redis)
{
    (void)redis;
    ++closed;
}

bool redis_ready(const struct redis *redis)
{
    return redis->ready;
}

const char *redis_why(const struct redis *redis)
{
    return redis->ready ? NULL : "no commands";
}

bool redis_moved(const struct redis *redis)
{
    return redis->moved;
}

void redis_drop(struct redis *redis, const char *why)
{
    (void)why;
    ++redis->drops;
}

bool redis_command(struct redis *redis, const struct slice *argv, size_t argc, redis_reply_cb cb, void *data)
{
    (void)argv, (void)argc, (void)cb, (void)data;
    ++redis->commands;
    return true;
}

struct history *history_open(struct redis *redis)
{
    return (struct history *)redis;
}

void history_close(struct history *history)
{
    (void)history;
}

struct subscribe *subscribe_open(const struct redis_options *options, const struct subscribe_events *events)
{
    (void)options;
    subscribes[opened] = (struct subscribe){.events = *events};
    return &subscribes[opened];
}

void subscribe_close(struct subscribe *subscribe)
{
    (void)subscribe;
}

void subscribe_add(struct subscribe *subscribe, struct slice name, struct subscription *subscription)
{
    (void)name, (void)subscription;
    ++subscribe->adds;
}

void subscribe_remove(struct subscribe *subscribe, struct slice name)
{
    (void)name;
    --subscribe->adds;
}

bool subscribe_ready(const struct subscribe *subscribe)
{
    return subscribe->ready;
}

const char *subscribe_why(const struct subscribe *subscribe)
{
    return subscribe->ready ? NULL : "no messages";
}

size_t subscribe_under_way(const struct subscribe *subscribe)
{
    return subscribe->under_way;
}

struct canary *canary_open(const struct canary_options *options)
{
    canaries[opened] = (struct canary){.options = *options};
    return &canaries[opened++];
}

void canary_close(struct canary *canary)
{
    (void)canary;
}

void canary_place(struct canary *canary, const struct shards *of, const struct shard *shard)
{
    (void)canary, (void)of, (void)shard;
}

void canary_lost(struct canary *canary)
{
    ++canary->lost;
}

const char *canary_why(const struct canary *canary)
{
    (void)canary;
    return "messages do not come back from Redis";
}

void canary_unsent(struct canary *canary)
{
    ++canary->unsent;
}

void canary_believe(struct canary *canary)
{
    ++canary->believed;
}

uint64_t canary_proven_us(const struct canary *canary)
{
    return canary->proven_us;
}

void born_key(char out[CHANNEL_KEY_MAX], const struct shards *of, const struct shard *shard)
{
    (void)of;
    snprintf(out, CHANNEL_KEY_MAX, "born %d", (int)(shard - all));
}

bool born_read(struct redis *redis, const char *key, born_cb cb, void *data)
{
    (void)key;
    born_reads[redis - commands].cb = cb;
    born_reads[redis - commands].data = data;
    return true;
}

void born_set(struct redis *redis, const char *key, uint64_t now_ms, born_set_cb cb, void *data)
{
    (void)redis, (void)key, (void)now_ms, (void)cb, (void)data;
    ++born_sets;
}

/* ---- the feed ---- */

static unsigned changes, moves, losts, backs;

static void on_change(void *data)
{
    (void)data;
    ++changes;
}

static void on_moved(void *data)
{
    (void)data;
    ++moves;
}

static void on_commands(void *data)
{
    (void)data;
    ++backs;
}

static void on_nothing(void *data)
{
    (void)data;
}

static void on_subscriber_lost(void *data, struct uplink *uplink)
{
    (void)data, (void)uplink;
    ++losts;
}

static void become_ready(int i)
{
    commands[i].ready = subscribes[i].ready = true;
    commands[i].options.on_ready(commands[i].options.data);
    subscribes[i].events.on_ready(subscribes[i].events.data);
}

/* Shard i's clock is `ahead_ms` ahead of ours; its data was born at born_ms. */
static void tell_clock(int i, uint64_t ahead_ms, uint64_t born_ms)
{
    born_reads[i].cb(born_reads[i].data, monotonic_ms() + ahead_ms, born_ms, false, NULL);
}

static void come_back(int i)
{
    canaries[i].proven_us = monotonic_us();
    canaries[i].options.on_back(canaries[i].options.data);
}

static void test_ready(struct uplinks *uplinks)
{
    check(!uplinks_ready(uplinks) && uplinks_why(uplinks) != NULL, "without connections the bus is not up");
    become_ready(0);
    check(!uplinks_ready(uplinks) && changes >= 2 && backs == 1, "one shard of two is not all of it, but its channels may be read");
    become_ready(1);
    check(uplinks_ready(uplinks), "all connections make it ready");
    check_slice(slice_of(uplinks_why(uplinks)), SLICE("1: messages do not come back from Redis"),
                "… but not usable before messages come back");
    come_back(0);
    come_back(1);
    check(uplinks_why(uplinks) == NULL, "then it is");
    shards_fault = "slots are missing";
    check(!uplinks_ready(uplinks) && uplinks_why(uplinks) == shards_fault, "slots that no shard has are a fault");
    shards_fault = NULL;
    canaries[0].proven_us = monotonic_us() - 10000000;
    check_slice(slice_of(uplinks_why(uplinks)), SLICE("0: messages do not come back from Redis"),
                "so is a shard that is silent for long");
    come_back(0);
}

static void test_settled(struct uplinks *uplinks)
{
    uint64_t now = monotonic_us();
    check(uplinks_settled(uplinks, now), "what was published a moment ago has come");
    check(!uplinks_settled(uplinks, now + 2000000), "what comes two seconds later may not have");
    for (int i = 0; i < SHARDS; ++i) {
        canaries[i].proven_us = 0;
        canaries[!i].options.on_back(canaries[!i].options.data);
        check(!uplinks_settled(uplinks, now) && !uplink_settled(all[i].owner, now) && uplink_settled(all[!i].owner, now),
              "the slowest shard counts");
        come_back(i);
    }
}

static void test_clocks(struct uplinks *uplinks)
{
    struct uplink *first = uplinks_of(uplinks, 0), *second = uplinks_of(uplinks, 1);
    uint64_t margin = uplinks_margin_ms(uplinks);
    check(!first->shard.clock_known && first->shard.proven_ms == 0, "before its clock is known, a shard proves no time");
    tell_clock(0, 100000, 50);
    check(first->shard.clock_known && first->shard.proven_ms > 100000 && first->shard.born_ms == 50, "then what came back does");
    check(uplinks_margin_ms(uplinks) == margin, "one clock differs from none");
    tell_clock(1, 103000, 50);
    check(uplinks_margin_ms(uplinks) >= margin + 2990, "two clocks widen the margin by what they differ");
    uint64_t proven = second->shard.proven_ms;
    canaries[1].options.on_beat(canaries[1].options.data);
    tell_clock(1, 100000, 50);
    check(second->shard.proven_ms < proven && uplinks_margin_ms(uplinks) < margin + 1000,
          "a clock that is set back takes its proof along");
    canaries[1].options.on_beat(canaries[1].options.data);
    tell_clock(1, 100000, 0);
    check(born_sets == 1 && second->shard.born_ms == 50, "a birth that nobody has noted is noted");
}

static void test_loss(void)
{
    subscribes[1].ready = false;
    subscribes[1].events.on_lost(subscribes[1].events.data, "gone");
    check(losts == 1 && canaries[1].lost == 1 && canaries[0].lost == 0,
          "a lost subscriber connection takes its canary and channels along");
    commands[1].ready = false;
    commands[1].options.on_lost(commands[1].options.data, "gone");
    check(canaries[1].unsent == 1 && canaries[0].unsent == 0, "of a lost command connection the canary learns");
    become_ready(1);
}

static void test_moves(struct uplinks *uplinks)
{
    struct subscription subscription = {NULL};
    struct uplink *second = uplinks_of(uplinks, 1);
    uplink_subscribe(second, SLICE("news"), &subscription);
    check(subscribes[1].adds == 1 && subscribes[0].adds == 0, "a channel is subscribed at its shard");
    uplink_unsubscribe(second, SLICE("news"));
    subscribes[0].under_way = 7;
    check(subscribes[1].adds == 0 && uplinks_under_way(uplinks) == 7, "the busiest shard is told");
    for (int slot = 0; slot < SLOTS; ++slot)
        by_slot[slot] = &all[0];
    shards.options.on_moved(shards.options.data);
    shards.options.on_gone(shards.options.data, &all[1]);
    check(moves == 2 && closed == 1, "channels are led away before their shard goes");
    check(uplinks_of(uplinks, 1) == all[0].owner && uplinks_ready(uplinks), "what it had is at the other one");
    canaries[0].options.on_beat(canaries[0].options.data);
    check(uplinks_settled(uplinks, monotonic_us() + 5000000), "where there is but one, its own events tell");
    unsigned before = commands[0].commands;
    uplinks_publish(uplinks, SLICE("x"), SLICE("text"));
    check(commands[0].commands == before + 1, "what is published leaves by the channel's shard");
}

int main(void)
{
    static struct redis_url url = {.kind = REDIS_CLUSTER};
    counters_init();
    metrics_thread();
    log_set_level(LOG_ERROR);
    struct uplinks *uplinks = uplinks_open(&(struct uplinks_options){.url = &url,
                                                                     .redis_timeout_ms = 2000,
                                                                     .on_subscriber_lost = on_subscriber_lost,
                                                                     .on_commands = on_commands,
                                                                     .on_change = on_change,
                                                                     .on_moved = on_moved,
                                                                     .on_clock = on_nothing});
    test_ready(uplinks);
    test_settled(uplinks);
    test_clocks(uplinks);
    test_loss();
    test_moves(uplinks);
    return check_end();
}
