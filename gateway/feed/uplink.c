#include "gateway/feed/uplink.h"

#include <stdlib.h>

#include "gateway/counters.h"
#include "proto/bus/channel_slot.h"
#include "proto/bus/marker.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"
#include "runtime/redis/shards_open.h"

enum {
    CONNECT_TIMEOUT_MS = 3000,
    CANARY_INTERVAL_MS = 1000,
    CANARY_LATE_MIN_MS = 1500, /* a shard that keeps a canary for REDIS_TIMEOUT_MS, but within these bounds, does not work */
    CANARY_LATE_MAX_MS = 3500,
    SETTLED_MS = 1500, /* how old a proof may be: one canary's interval, and some */
    CLOCKS_MS = 500, /* what reading the clocks may be wrong by, and what they may differ by without a warning */
};

struct uplinks {
    struct uplinks_options options;
    struct shards *shards;
    struct uplink *first;
    uint64_t opened_us;
    uint64_t settled_until_us;
    char why[512];
};

/* ---- what is known of all ---- */

static uint64_t oldest_proof_us(const struct uplinks *uplinks)
{
    uint64_t oldest = UINT64_MAX;
    for (const struct uplink *uplink = uplinks->first; uplink != NULL; uplink = uplink->next) {
        uint64_t proven = canary_proven_us(uplink->canary);
        oldest = proven < oldest ? proven : oldest;
    }
    return oldest;
}

static void look(struct uplinks *uplinks)
{
    uint64_t oldest = oldest_proof_us(uplinks), since = oldest == 0 || oldest == UINT64_MAX ? uplinks->opened_us : oldest;
    bool alone = uplinks->first != NULL && uplinks->first->next == NULL;
    uplinks->settled_until_us = alone ? UINT64_MAX : oldest == UINT64_MAX ? 0 : oldest + SETTLED_MS * 1000;
    metric_set(COUNT_CANARY_AGE, (int64_t)(monotonic_us() - since));
}

bool uplink_settled(const struct uplink *uplink, uint64_t now_us)
{
    return now_us <= canary_proven_us(uplink->canary) + SETTLED_MS * 1000;
}

bool uplink_heard(const struct uplink *uplink, uint64_t since_us)
{
    return canary_proven_us(uplink->canary) >= since_us;
}

struct uplink *uplinks_first(const struct uplinks *uplinks)
{
    return uplinks->first;
}

bool uplinks_settled(const struct uplinks *uplinks, uint64_t now_us)
{
    return now_us <= uplinks->settled_until_us;
}

static int64_t clocks_differ_ms(const struct uplinks *uplinks)
{
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (const struct uplink *uplink = uplinks->first; uplink != NULL; uplink = uplink->next) {
        if (!uplink->shard.clock_known)
            continue;
        least = uplink->shard.clock_ms < least ? uplink->shard.clock_ms : least;
        most = uplink->shard.clock_ms > most ? uplink->shard.clock_ms : most;
    }
    return most > least ? most - least : 0;
}

uint64_t uplinks_margin_ms(const struct uplinks *uplinks)
{
    return SETTLED_MS + CLOCKS_MS + (uint64_t)clocks_differ_ms(uplinks);
}

static void watch_clocks(const struct uplinks *uplinks)
{
    static struct log_limit limit;
    int64_t differ = clocks_differ_ms(uplinks);
    if (differ > CLOCKS_MS && log_allowed(&limit))
        log_warn("the clocks of the shards differ; clients that resume several channels may receive more duplicates",
                 log_int("ms", differ));
}

/* ---- one uplink ---- */

/* Without the right to read the birth, or to note it while nobody else does, what is older than this gateway's first look is taken for unknown. */
static void on_born_set(void *data, bool denied)
{
    struct uplink *uplink = data;
    if (denied && !uplink->shard.denied)
        log_warn("the Redis user may not read or set the birth of the data (needs +get, and the selector for +set); clients may "
                 "get gaps where nothing is missing",
                 log_str("key", uplink->shard.born_key));
    uplink->shard.denied = uplink->shard.denied || denied;
}

/* The clock was read a little before it was believed, so this is rather too early. */
static void prove(struct uplink *uplink)
{
    uint64_t back_us = canary_proven_us(uplink->canary);
    if (back_us != 0 && uplink->shard.clock_known)
        uplink->shard.proven_ms = (uint64_t)((int64_t)(back_us / 1000) + uplink->shard.clock_ms - 1);
}

/* All that was published before an earlier time has come as well. */
static void take_clock(struct uplink *uplink, uint64_t now_ms)
{
    struct channel_shard *shard = &uplink->shard;
    uint64_t mono_ms = monotonic_ms();
    shard->clock_ms = (int64_t)now_ms - (int64_t)mono_ms;
    if (uplink->moved)
        clock_steps_add(&uplink->doubts, now_ms > FOLLOW_MS ? now_ms - FOLLOW_MS : 0, now_ms + FOLLOW_MS);
    uplink->moved = false;
    if (!shard->clock_known) {
        shard->clock_known = true;
        prove(uplink); /* a canary may have come before the clock was known */
    }
    if (clock_steps_read(&uplink->steps, now_ms, uplink->clock_asked_ms, mono_ms))
        log_warn("the clock of Redis was set back; clients that resume several channels may receive more duplicates",
                 log_str("key", shard->born_key));
    if (shard->proven_ms > now_ms)
        shard->proven_ms = now_ms;
    uplink->uplinks->options.on_clock(uplink->uplinks->options.data);
}

static void on_born(void *data, uint64_t now_ms, uint64_t born_ms, bool denied, const char *why)
{
    struct uplink *uplink = data;
    struct channel_shard *shard = &uplink->shard;
    --uplink->clock_asked;
    if (now_ms != 0)
        take_clock(uplink, now_ms);
    if (why != NULL)
        return;
    on_born_set(uplink, denied);
    if (born_ms == 0)
        born_set(shard->commands, shard->born_key, now_ms, on_born_set, uplink);
    if (born_ms == 0 && !shard->denied)
        return; /* it is read at the next beat */
    shard->born_ms = born_ms != 0 ? born_ms : shard->born_ms != 0 ? shard->born_ms : now_ms;
    shard->seen_ms = now_ms;
}

static bool read_clock(struct uplink *uplink)
{
    if (uplink->shard.born_key[0] == 0)
        return true;
    uint64_t mono_ms = monotonic_ms();
    if (!born_read(uplink->shard.commands, uplink->shard.born_key, on_born, uplink))
        return false;
    if (uplink->clock_asked++ == 0)
        uplink->clock_asked_ms = mono_ms;
    return true;
}

static void on_clock_doubt(void *data)
{
    struct uplink *uplink = data;
    if (uplink->clock_asked == 0 && redis_ready(uplink->shard.commands))
        read_clock(uplink); /* else at the next beat */
}

static void on_commands_ready(void *data)
{
    struct uplink *uplink = data;
    const struct uplinks_options *options = &uplink->uplinks->options;
    uplink->moved = uplink->moved || redis_moved(uplink->shard.commands);
    if (!read_clock(uplink))
        return; /* lost again: on_commands_lost() follows */
    options->on_change(options->data);
    options->on_commands(options->data);
}

static void on_commands_lost(void *data, const char *why)
{
    struct uplink *uplink = data;
    const struct uplinks_options *options = &uplink->uplinks->options;
    (void)why;
    canary_unsent(uplink->canary);
    options->on_change(options->data);
}

/* What a canary proves holds only if what went before it, on the way to the replica, came too. */
static void on_canary_came(void *data)
{
    link_watch_check(((struct uplink *)data)->watch);
}

static void on_link_good(void *data)
{
    canary_believe(((struct uplink *)data)->canary);
}

static void on_link_broken(void *data)
{
    struct uplink *uplink = data;
    const struct uplinks_options *options = &uplink->uplinks->options;
    options->on_doubt(options->data, uplink);
}

static void on_subscriber_ready(void *data)
{
    const struct uplinks_options *options = &((struct uplink *)data)->uplinks->options;
    options->on_change(options->data);
}

static void on_subscriber_lost(void *data, const char *why)
{
    struct uplink *uplink = data;
    const struct uplinks_options *options = &uplink->uplinks->options;
    (void)why;
    metric_add(COUNT_BUS_LOST, 1);
    if (uplink->watch != NULL)
        link_watch_forget(uplink->watch);
    options->on_subscriber_lost(options->data, uplink);
    canary_lost(uplink->canary);
    options->on_change(options->data);
}

static void on_beat(void *data)
{
    struct uplink *uplink = data;
    if (redis_ready(uplink->shard.commands) && !read_clock(uplink))
        redis_drop(uplink->shard.commands, "too many bytes are waiting to be sent to Redis");
    look(uplink->uplinks);
    watch_clocks(uplink->uplinks);
}

static void on_back(void *data)
{
    struct uplink *uplink = data;
    prove(uplink);
    look(uplink->uplinks);
}

/* ---- the shards ---- */

static void connect_uplink(struct uplink *uplink)
{
    const struct uplinks_options *options = &uplink->uplinks->options;
    struct redis_options redis = {.loop = options->loop,
                                  .getaddr = options->getaddr,
                                  .url = options->url,
                                  .topology = uplink->at->topology,
                                  .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                  .reply_timeout_ms = options->redis_timeout_ms,
                                  .data = uplink};
    redis.name = "sse-gateway:commands";
    redis.on_ready = on_commands_ready;
    redis.on_lost = on_commands_lost;
    uplink->shard.commands = redis_open(&redis);
    uplink->shard.history = history_open(uplink->shard.commands);
    redis.name = "sse-gateway:subscriber";
    redis.topology = options->weights.replica != 0 ? uplink->at->reading : uplink->at->topology;
    uplink->subscribe = subscribe_open(
        &redis, &(struct subscribe_events){.on_ready = on_subscriber_ready, .on_lost = on_subscriber_lost, .data = uplink});
    if (options->weights.replica != 0)
        uplink->watch = link_watch_open(&(struct link_watch_options){
            .redis = &redis, .shard = uplink->at, .on_good = on_link_good, .on_broken = on_link_broken, .data = uplink});
}

static void on_shard(void *data, struct shard *shard)
{
    struct uplinks *uplinks = data;
    struct uplink *uplink = h2o_mem_alloc(sizeof(*uplink));
    *uplink = (struct uplink){.uplinks = uplinks, .at = shard, .next = uplinks->first};
    uplink->shard.steps = &uplink->steps;
    uplink->shard.doubts = &uplink->doubts;
    uplink->shard.leases = &uplink->leases;
    uplink->shard.on_clock_doubt = on_clock_doubt;
    uplink->shard.data = uplink;
    uplinks->first = shard->owner = uplink;
    connect_uplink(uplink);
    uplink->canary = canary_open(&(struct canary_options){.loop = uplinks->options.loop,
                                                          .commands = uplink->shard.commands,
                                                          .subscribe = uplink->subscribe,
                                                          .interval_ms = CANARY_INTERVAL_MS,
                                                          .words = pubsub_commands(uplinks->options.url),
                                                          .on_beat = on_beat,
                                                          .on_came = uplink->watch == NULL ? NULL : on_canary_came,
                                                          .on_back = on_back,
                                                          .data = uplink});
}

static void place_names(struct uplinks *uplinks)
{
    for (struct uplink *uplink = uplinks->first; uplink != NULL; uplink = uplink->next) {
        canary_place(uplink->canary, uplinks->shards, uplink->at);
        born_key(uplink->shard.born_key, uplinks->shards, uplink->at);
    }
}

/* Its channels are led away first. */
static void on_gone(void *data, struct shard *shard)
{
    struct uplinks *uplinks = data;
    struct uplink *uplink = shard->owner, **at = &uplinks->first;
    uplinks->options.on_moved(uplinks->options.data);
    while (*at != uplink)
        at = &(*at)->next;
    *at = uplink->next;
    redis_close(uplink->shard.commands);
    history_close(uplink->shard.history);
    subscribe_close(uplink->subscribe);
    if (uplink->watch != NULL)
        link_watch_close(uplink->watch);
    canary_close(uplink->canary);
    free(uplink);
    uplinks->options.on_change(uplinks->options.data);
}

static void on_moved(void *data)
{
    struct uplinks *uplinks = data;
    place_names(uplinks);
    look(uplinks);
    uplinks->options.on_moved(uplinks->options.data);
    uplinks->options.on_change(uplinks->options.data);
}

struct uplinks *uplinks_open(const struct uplinks_options *options)
{
    struct uplinks *uplinks = h2o_mem_alloc(sizeof(*uplinks));
    *uplinks = (struct uplinks){.options = *options, .opened_us = monotonic_us()};
    uplinks->shards = shards_open(&(struct shards_options){.loop = options->loop,
                                                           .getaddr = options->getaddr,
                                                           .url = options->url,
                                                           .weights = options->weights,
                                                           .on_shard = on_shard,
                                                           .on_gone = on_gone,
                                                           .on_moved = on_moved,
                                                           .data = uplinks});
    place_names(uplinks);
    look(uplinks);
    return uplinks;
}

/* ---- interface ---- */

struct uplink *uplinks_of(const struct uplinks *uplinks, uint16_t slot)
{
    const struct shard *shard = shards_of(uplinks->shards, slot);
    return shard == NULL ? NULL : shard->owner;
}

bool uplinks_ready(const struct uplinks *uplinks)
{
    bool ready = shards_why(uplinks->shards) == NULL;
    for (const struct uplink *uplink = uplinks->first; uplink != NULL && ready; uplink = uplink->next)
        ready = subscribe_ready(uplink->subscribe) && redis_ready(uplink->shard.commands);
    return ready;
}

size_t uplinks_under_way(const struct uplinks *uplinks)
{
    size_t most = 0;
    for (const struct uplink *uplink = uplinks->first; uplink != NULL; uplink = uplink->next) {
        size_t its = subscribe_under_way(uplink->subscribe);
        most = its > most ? its : most;
    }
    return most;
}

static uint64_t canary_late_ms(const struct uplinks *uplinks)
{
    uint64_t timeout = uplinks->options.redis_timeout_ms;
    return timeout < CANARY_LATE_MIN_MS ? CANARY_LATE_MIN_MS : timeout > CANARY_LATE_MAX_MS ? CANARY_LATE_MAX_MS : timeout;
}

static const char *why_one(const struct uplink *uplink)
{
    uint64_t proven = canary_proven_us(uplink->canary);
    const char *why = subscribe_why(uplink->subscribe);
    if (why == NULL)
        why = redis_why(uplink->shard.commands);
    if (why == NULL && uplink->watch != NULL)
        why = link_watch_why(uplink->watch);
    if (why != NULL)
        return why;
    bool late = proven == 0 || (monotonic_us() - proven) / 1000 > canary_late_ms(uplink->uplinks);
    return late ? canary_why(uplink->canary) : NULL;
}

const char *uplinks_why(struct uplinks *uplinks)
{
    const char *why = shards_why(uplinks->shards);
    for (const struct uplink *uplink = uplinks->first; uplink != NULL && why == NULL; uplink = uplink->next) {
        why = why_one(uplink);
        if (why != NULL)
            why = shard_sentence(uplinks->why, sizeof(uplinks->why), uplinks->shards, uplink->at, why);
    }
    return why;
}

void uplink_subscribe(struct uplink *uplink, struct slice channel, struct subscription *subscription)
{
    char name[CHANNEL_KEY_MAX];
    subscribe_add(uplink->subscribe, slice_make(name, channel_pubsub(name, channel)), subscription);
}

void uplink_unsubscribe(struct uplink *uplink, struct slice channel)
{
    char name[CHANNEL_KEY_MAX];
    subscribe_remove(uplink->subscribe, slice_make(name, channel_pubsub(name, channel)));
}

void uplinks_publish(struct uplinks *uplinks, struct slice channel, struct slice text)
{
    char name[CHANNEL_KEY_MAX];
    const struct uplink *uplink = uplinks_of(uplinks, channel_slot(channel));
    struct slice argv[] = {pubsub_commands(uplinks->options.url)->publish, slice_make(name, channel_pubsub(name, channel)), text};
    if (uplink == NULL || !redis_command(uplink->shard.commands, argv, 3, NULL, NULL))
        return; /* the next one tells all that this one would have */
}
