#include "gateway/trunk.h"

#include <stdlib.h>

#include "gateway/counters.h"
#include "proto/bus/marker.h"
#include "proto/channel.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"

enum {
    CONNECT_TIMEOUT_MS = 3000,
    CANARY_INTERVAL_MS = 1000,
    CANARY_LATE_MIN_MS = 1500, /* a shard that keeps a canary for REDIS_TIMEOUT_MS, but within these bounds, does not work */
    CANARY_LATE_MAX_MS = 3500,
    SETTLED_MS = 1500, /* how old a proof may be: one canary's interval, and some */
    CLOCKS_MS = 500, /* what reading the clocks may be wrong by, and what they may differ by without a warning */
};

struct trunks {
    struct trunks_options options;
    struct shards *shards;
    struct trunk *first;
    uint64_t opened_us;
    uint64_t settled_until_us;
    char why[512];
};

/* ---- what is known of all ---- */

static uint64_t oldest_proof_us(const struct trunks *trunks)
{
    uint64_t oldest = UINT64_MAX;
    for (const struct trunk *trunk = trunks->first; trunk != NULL; trunk = trunk->next) {
        uint64_t proven = canary_proven_us(trunk->canary);
        oldest = proven < oldest ? proven : oldest;
    }
    return oldest;
}

static void look(struct trunks *trunks)
{
    uint64_t oldest = oldest_proof_us(trunks), since = oldest == 0 || oldest == UINT64_MAX ? trunks->opened_us : oldest;
    bool alone = trunks->first != NULL && trunks->first->next == NULL;
    trunks->settled_until_us = alone ? UINT64_MAX : oldest == UINT64_MAX ? 0 : oldest + SETTLED_MS * 1000;
    metric_set(COUNT_CANARY_AGE, (int64_t)(monotonic_us() - since));
}

bool trunk_settled(const struct trunk *trunk, uint64_t now_us)
{
    return now_us <= canary_proven_us(trunk->canary) + SETTLED_MS * 1000;
}

bool trunks_settled(const struct trunks *trunks, uint64_t now_us)
{
    return now_us <= trunks->settled_until_us;
}

static int64_t clocks_differ_ms(const struct trunks *trunks)
{
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (const struct trunk *trunk = trunks->first; trunk != NULL; trunk = trunk->next) {
        if (!trunk->shard.clock_known)
            continue;
        least = trunk->shard.clock_ms < least ? trunk->shard.clock_ms : least;
        most = trunk->shard.clock_ms > most ? trunk->shard.clock_ms : most;
    }
    return most > least ? most - least : 0;
}

uint64_t trunks_margin_ms(const struct trunks *trunks)
{
    return SETTLED_MS + CLOCKS_MS + (uint64_t)clocks_differ_ms(trunks);
}

static void watch_clocks(const struct trunks *trunks)
{
    static struct log_limit limit;
    int64_t differ = clocks_differ_ms(trunks);
    if (differ > CLOCKS_MS && log_allowed(&limit))
        log_warn("the clocks of the shards differ: who resumes several channels gets more of them twice", log_int("ms", differ));
}

/* ---- one trunk ---- */

/* Without the right to read the birth, or to note it while nobody else does, what is older than this gateway's first look is taken for unknown. */
static void on_born_set(void *data, bool denied)
{
    struct trunk *trunk = data;
    if (denied && !trunk->shard.denied)
        log_warn(
            "the Redis user may not read or set the birth of the data (+get, and the selector for +set); clients may be told of "
            "gaps that are none",
            log_str("key", trunk->shard.born_key));
    trunk->shard.denied = trunk->shard.denied || denied;
}

/* The clock was read a little before it was believed, so this is rather too early. */
static void prove(struct trunk *trunk)
{
    uint64_t back_us = canary_proven_us(trunk->canary);
    if (back_us != 0 && trunk->shard.clock_known)
        trunk->shard.proven_ms = (uint64_t)((int64_t)(back_us / 1000) + trunk->shard.clock_ms - 1);
}

/* All that was published before an earlier time has come as well. */
static void take_clock(struct trunk *trunk, uint64_t now_ms)
{
    struct source_shard *shard = &trunk->shard;
    uint64_t mono_ms = monotonic_ms();
    shard->clock_ms = (int64_t)now_ms - (int64_t)mono_ms;
    if (!shard->clock_known) {
        shard->clock_known = true;
        prove(trunk); /* a canary may have come before the clock was known */
    }
    if (clock_steps_read(&trunk->steps, now_ms, trunk->clock_asked_ms, mono_ms))
        log_warn("the clock of Redis was set back: who resumes several channels gets more of them twice",
                 log_str("key", shard->born_key));
    if (shard->proven_ms > now_ms)
        shard->proven_ms = now_ms;
}

static void on_born(void *data, uint64_t now_ms, uint64_t born_ms, bool denied, const char *why)
{
    struct trunk *trunk = data;
    struct source_shard *shard = &trunk->shard;
    --trunk->clock_asked;
    if (now_ms != 0)
        take_clock(trunk, now_ms);
    if (why != NULL)
        return;
    on_born_set(trunk, denied);
    if (born_ms == 0)
        born_set(shard->commands, shard->born_key, now_ms, on_born_set, trunk);
    if (born_ms == 0 && !shard->denied)
        return; /* it is read at the next beat */
    shard->born_ms = born_ms != 0 ? born_ms : shard->born_ms != 0 ? shard->born_ms : now_ms;
    shard->seen_ms = now_ms;
}

static bool read_clock(struct trunk *trunk)
{
    if (trunk->shard.born_key[0] == 0)
        return true;
    uint64_t mono_ms = monotonic_ms();
    if (!born_read(trunk->shard.commands, trunk->shard.born_key, on_born, trunk))
        return false;
    if (trunk->clock_asked++ == 0)
        trunk->clock_asked_ms = mono_ms;
    return true;
}

static void on_clock_doubt(void *data)
{
    struct trunk *trunk = data;
    if (trunk->clock_asked == 0 && redis_ready(trunk->shard.commands))
        read_clock(trunk); /* else at the next beat */
}

static void on_commands_ready(void *data)
{
    struct trunk *trunk = data;
    const struct trunks_options *options = &trunk->trunks->options;
    if (!read_clock(trunk))
        return; /* lost again: on_commands_lost() follows */
    options->on_change(options->data);
    options->on_commands(options->data);
}

static void on_commands_lost(void *data, const char *why)
{
    struct trunk *trunk = data;
    const struct trunks_options *options = &trunk->trunks->options;
    (void)why;
    canary_unsent(trunk->canary);
    options->on_change(options->data);
}

static void on_subscribed(void *data, void *tag)
{
    struct trunk *trunk = data;
    const struct trunks_options *options = &trunk->trunks->options;
    if (tag == canary_tag(trunk->canary))
        canary_subscribed(trunk->canary);
    else
        options->on_subscribed(options->data, tag);
}

/* What it proves holds only if what went before it, on the way to the replica, came too. */
static void take_canary(struct trunk *trunk, struct slice payload)
{
    if (trunk->watch == NULL) {
        canary_message(trunk->canary, payload);
        return;
    }
    if (payload.n == 0 || payload.n >= sizeof(trunk->came))
        return;
    memcpy(trunk->came, payload.p, payload.n);
    trunk->came[payload.n] = 0;
    link_watch_check(trunk->watch);
}

static void on_link_good(void *data)
{
    struct trunk *trunk = data;
    char came[sizeof(trunk->came)];
    memcpy(came, trunk->came, sizeof(came));
    trunk->came[0] = 0;
    canary_message(trunk->canary, slice_of(came));
}

static void on_link_broken(void *data)
{
    struct trunk *trunk = data;
    const struct trunks_options *options = &trunk->trunks->options;
    options->on_doubt(options->data, trunk);
}

static void on_message(void *data, void *tag, struct slice payload)
{
    struct trunk *trunk = data;
    const struct trunks_options *options = &trunk->trunks->options;
    if (tag == canary_tag(trunk->canary))
        take_canary(trunk, payload);
    else
        options->on_message(options->data, tag, payload);
}

static void on_unsubscribed(void *data, void *tag)
{
    struct trunk *trunk = data;
    const struct trunks_options *options = &trunk->trunks->options;
    if (tag == canary_tag(trunk->canary))
        canary_lost(trunk->canary);
    else
        options->on_unsubscribed(options->data, tag);
}

/* Who may not even hear its own canary may hear nothing: that is the connection's trouble, and no channel's. */
static void on_refused(void *data, void *tag, const char *why)
{
    struct trunk *trunk = data;
    const struct trunks_options *options = &trunk->trunks->options;
    if (tag == canary_tag(trunk->canary))
        subscribe_drop(trunk->subscribe, "the Redis user may not subscribe to the channels of REDIS_PREFIX");
    else
        options->on_refused(options->data, tag, why);
}

static void on_subscriber_ready(void *data)
{
    const struct trunks_options *options = &((struct trunk *)data)->trunks->options;
    options->on_change(options->data);
}

static void on_subscriber_lost(void *data, const char *why)
{
    struct trunk *trunk = data;
    const struct trunks_options *options = &trunk->trunks->options;
    (void)why;
    metric_add(COUNT_BUS_LOST, 1);
    trunk->came[0] = 0;
    if (trunk->watch != NULL)
        link_watch_forget(trunk->watch);
    options->on_subscriber_lost(options->data, trunk);
    canary_lost(trunk->canary);
    options->on_change(options->data);
}

static void on_beat(void *data)
{
    struct trunk *trunk = data;
    const struct trunks_options *options = &trunk->trunks->options;
    if (redis_ready(trunk->shard.commands) && !read_clock(trunk))
        redis_drop(trunk->shard.commands, "too much waits to be sent to Redis");
    look(trunk->trunks);
    watch_clocks(trunk->trunks);
    options->on_beat(options->data);
}

static void on_back(void *data)
{
    struct trunk *trunk = data;
    prove(trunk);
    look(trunk->trunks);
}

/* ---- the shards ---- */

static void connect_trunk(struct trunk *trunk)
{
    const struct trunks_options *options = &trunk->trunks->options;
    struct redis_options redis = {.loop = options->loop,
                                  .getaddr = options->getaddr,
                                  .url = options->url,
                                  .topology = trunk->at->topology,
                                  .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                  .reply_timeout_ms = options->redis_timeout_ms,
                                  .data = trunk};
    redis.name = "sse-gateway:commands";
    redis.on_ready = on_commands_ready;
    redis.on_lost = on_commands_lost;
    trunk->shard.commands = redis_open(&redis);
    trunk->shard.history = history_open(trunk->shard.commands);
    redis.name = "sse-gateway:subscriber";
    redis.topology = options->weights.replica != 0 ? trunk->at->reading : trunk->at->topology;
    trunk->subscribe = subscribe_open(&redis, &(struct subscribe_events){.on_subscribed = on_subscribed,
                                                                         .on_message = on_message,
                                                                         .on_unsubscribed = on_unsubscribed,
                                                                         .on_refused = on_refused,
                                                                         .on_ready = on_subscriber_ready,
                                                                         .on_lost = on_subscriber_lost,
                                                                         .data = trunk});
    if (options->weights.replica != 0)
        trunk->watch = link_watch_open(&(struct link_watch_options){
            .redis = &redis, .shard = trunk->at, .on_good = on_link_good, .on_broken = on_link_broken, .data = trunk});
}

static void on_shard(void *data, struct shard *shard)
{
    struct trunks *trunks = data;
    struct trunk *trunk = h2o_mem_alloc(sizeof(*trunk));
    *trunk = (struct trunk){.trunks = trunks, .at = shard, .next = trunks->first};
    trunk->shard.steps = &trunk->steps;
    trunk->shard.on_clock_doubt = on_clock_doubt;
    trunk->shard.data = trunk;
    trunks->first = shard->owner = trunk;
    connect_trunk(trunk);
    trunk->canary = canary_open(&(struct canary_options){.loop = trunks->options.loop,
                                                         .commands = trunk->shard.commands,
                                                         .subscribe = trunk->subscribe,
                                                         .interval_ms = CANARY_INTERVAL_MS,
                                                         .words = pubsub_words(trunks->options.url),
                                                         .on_beat = on_beat,
                                                         .on_back = on_back,
                                                         .data = trunk});
}

static void place_names(struct trunks *trunks)
{
    for (struct trunk *trunk = trunks->first; trunk != NULL; trunk = trunk->next) {
        canary_place(trunk->canary, trunks->shards, trunk->at);
        born_key(trunk->shard.born_key, trunks->shards, trunk->at);
    }
}

/* Its channels are led away first. */
static void on_gone(void *data, struct shard *shard)
{
    struct trunks *trunks = data;
    struct trunk *trunk = shard->owner, **at = &trunks->first;
    trunks->options.on_moved(trunks->options.data);
    while (*at != trunk)
        at = &(*at)->next;
    *at = trunk->next;
    redis_close(trunk->shard.commands);
    history_close(trunk->shard.history);
    subscribe_close(trunk->subscribe);
    if (trunk->watch != NULL)
        link_watch_close(trunk->watch);
    canary_close(trunk->canary);
    free(trunk);
    trunks->options.on_change(trunks->options.data);
}

static void on_moved(void *data)
{
    struct trunks *trunks = data;
    place_names(trunks);
    look(trunks);
    trunks->options.on_moved(trunks->options.data);
    trunks->options.on_change(trunks->options.data);
}

struct trunks *trunks_open(const struct trunks_options *options)
{
    struct trunks *trunks = h2o_mem_alloc(sizeof(*trunks));
    *trunks = (struct trunks){.options = *options, .opened_us = monotonic_us()};
    trunks->shards = shards_open(&(struct shards_options){.loop = options->loop,
                                                          .getaddr = options->getaddr,
                                                          .url = options->url,
                                                          .weights = options->weights,
                                                          .on_shard = on_shard,
                                                          .on_gone = on_gone,
                                                          .on_moved = on_moved,
                                                          .data = trunks});
    place_names(trunks);
    look(trunks);
    return trunks;
}

/* ---- interface ---- */

struct trunk *trunks_of(const struct trunks *trunks, uint16_t slot)
{
    const struct shard *shard = shards_of(trunks->shards, slot);
    return shard == NULL ? NULL : shard->owner;
}

bool trunks_ready(const struct trunks *trunks)
{
    bool ready = shards_why(trunks->shards) == NULL;
    for (const struct trunk *trunk = trunks->first; trunk != NULL && ready; trunk = trunk->next)
        ready = subscribe_ready(trunk->subscribe) && redis_ready(trunk->shard.commands);
    return ready;
}

size_t trunks_under_way(const struct trunks *trunks)
{
    size_t most = 0;
    for (const struct trunk *trunk = trunks->first; trunk != NULL; trunk = trunk->next) {
        size_t its = subscribe_under_way(trunk->subscribe);
        most = its > most ? its : most;
    }
    return most;
}

static uint64_t canary_late_ms(const struct trunks *trunks)
{
    uint64_t timeout = trunks->options.redis_timeout_ms;
    return timeout < CANARY_LATE_MIN_MS ? CANARY_LATE_MIN_MS : timeout > CANARY_LATE_MAX_MS ? CANARY_LATE_MAX_MS : timeout;
}

static const char *why_one(const struct trunk *trunk)
{
    uint64_t proven = canary_proven_us(trunk->canary);
    const char *why = subscribe_why(trunk->subscribe);
    if (why == NULL)
        why = redis_why(trunk->shard.commands);
    if (why == NULL && trunk->watch != NULL)
        why = link_watch_why(trunk->watch);
    if (why != NULL)
        return why;
    bool late = proven == 0 || (monotonic_us() - proven) / 1000 > canary_late_ms(trunk->trunks);
    return late ? "no message comes back from Redis" : NULL;
}

const char *trunks_why(struct trunks *trunks)
{
    const char *why = shards_why(trunks->shards);
    for (const struct trunk *trunk = trunks->first; trunk != NULL && why == NULL; trunk = trunk->next) {
        why = why_one(trunk);
        if (why != NULL)
            why = shard_sentence(trunks->why, sizeof(trunks->why), trunks->shards, trunk->at, why);
    }
    return why;
}

void trunks_publish(struct trunks *trunks, struct slice channel, struct slice text)
{
    char name[CHANNEL_KEY_MAX];
    const struct trunk *trunk = trunks_of(trunks, slot_of(channel));
    struct slice argv[] = {pubsub_words(trunks->options.url)->publish, slice_make(name, channel_pubsub(name, channel)), text};
    if (trunk == NULL || !redis_command(trunk->shard.commands, argv, 3, NULL, NULL))
        return; /* the next one tells all that this one would have */
}
