#include "gateway/feed.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "gateway/canary.h"
#include "gateway/counters.h"
#include "gateway/outbox.h"
#include "gateway/replay.h"
#include "gateway/source.h"
#include "proto/bus/subscribe.h"
#include "proto/channel.h"
#include "runtime/announce.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"
#include "runtime/seeded_hash.h"
#include "runtime/timer.h"

enum {
    CONNECT_TIMEOUT_MS = 3000,
    RETRY_MS = 250,
    CANARY_INTERVAL_MS = 1000,
    CANARY_LATE_MIN_MS = 1500, /* a bus that keeps a canary for REDIS_TIMEOUT_MS, but within these bounds, does not work */
    CANARY_LATE_MAX_MS = 3500,
};

/* A stream on its way to live. Goes with its ask. */
struct opening {
    struct feed *feed;
    struct ask *ask;
    struct opening *next; /* in the list where it waits */
    struct canary_wait wait;
};

struct openings {
    struct opening *first, *last;
};

/* A channel that at least one worker listens to. */
struct feed_channel {
    struct feed *feed;
    struct source *source;
    struct openings waiting; /* for this channel */
    uint32_t listeners;
    UT_hash_handle hh;
    struct hub_channel *locals[]; /* one a worker, NULL when it does not listen; the name follows */
};

struct feed {
    struct feed_options options;
    h2o_multithread_receiver_t asks;
    struct outbox *outboxes; /* one a worker */
    struct subscribe *subscribe;
    struct redis *commands;
    struct source_shared shared;
    struct feed_channel *channels; /* uthash by name */
    struct canary *canary;
    struct openings retrying; /* their read failed */
    struct timer retry;
    atomic_bool usable; /* the same, for all threads: answers come at once */
    bool up; /* as last counted */
};

static char *name_of(struct feed_channel *channel)
{
    return (char *)&channel->locals[channel->feed->options.worker_count];
}

static void tell(struct feed *feed, uint32_t worker, struct tell message)
{
    struct tell *copy = h2o_mem_alloc(sizeof(*copy));
    *copy = message;
    outbox_put(&feed->outboxes[worker], &copy->super);
}

static void count_up(struct feed *feed)
{
    bool up = subscribe_ready(feed->subscribe) && redis_ready(feed->commands);
    metric_set(COUNT_BUS_UP, up);
    atomic_store_explicit(&feed->usable, up, memory_order_relaxed);
    if (up && !feed->up)
        log_info("ready");
    feed->up = up;
}

/* ---- opening streams ---- */

static void advance(struct opening *opening);

static void on_barrier(void *data)
{
    advance(data);
}

static void append(struct openings *list, struct opening *opening)
{
    opening->next = NULL;
    if (list->first == NULL)
        list->first = opening;
    else
        list->last->next = opening;
    list->last = opening;
}

static struct opening *take_all(struct openings *list)
{
    struct opening *first = list->first;
    *list = (struct openings){NULL, NULL};
    return first;
}

static void advance_all(struct openings *list)
{
    for (struct opening *opening = take_all(list), *next; opening != NULL; opening = next) {
        next = opening->next;
        advance(opening);
    }
}

/* From the last page on the worker's queue carries every event of these channels behind it, so the seam between replay and live is the queue's
 * own order. */
static void answer(struct opening *opening)
{
    struct ask *ask = opening->ask;
    uint32_t worker = ask->worker;
    struct feed *feed = opening->feed;
    struct tell page = {.kind = TELL_PAGE, .page = {.subscriber = ask->subscriber, .ask = ask}};
    if (replay_page(ask->replay, &page)) {
        page.kind = TELL_WELCOME;
        page.page.ask = NULL;
        ask_free(ask); /* and the opening with it */
    }
    tell(feed, worker, page);
}

/* Takes the opening stream one step on, or leaves it where it will be called again. */
static void advance(struct opening *opening)
{
    struct source *wait_at;
    switch (replay_prepare(opening->ask->replay, &wait_at)) {
    case REPLAY_READY:
        answer(opening);
        break;
    case REPLAY_SOURCE:
        append(&((struct feed_channel *)source_owner(wait_at))->waiting, opening);
        break;
    case REPLAY_BARRIER:
        opening->wait = (struct canary_wait){.cb = on_barrier, .data = opening};
        canary_barrier(opening->feed->canary, &opening->wait);
        break;
    case REPLAY_READ:
        break;
    case REPLAY_RETRY:
        append(&opening->feed->retrying, opening);
        if (!timer_running(&opening->feed->retry))
            timer_start(&opening->feed->retry, RETRY_MS);
        break;
    }
}

static void on_own_read(void *data)
{
    advance(data);
}

/* ---- a source's events ---- */

static void on_event(void *owner, struct frame *frame)
{
    struct feed_channel *channel = owner;
    struct feed *feed = channel->feed;
    struct tell event = {.kind = TELL_EVENT,
                         .event = {.frame = frame, .came_us = monotonic_us(), .unsettled = feed->shared.unsettled != 0}};
    for (uint32_t w = 0; w < feed->options.worker_count; ++w) {
        if (channel->locals[w] == NULL)
            continue;
        event.event.channel = channel->locals[w];
        frame_ref(frame);
        tell(feed, w, event);
    }
}

static void on_live(void *owner)
{
    advance_all(&((struct feed_channel *)owner)->waiting);
}

static void on_read_failed(void *owner, const char *why)
{
    static struct log_limit limit;
    struct feed *feed = ((struct feed_channel *)owner)->feed;
    if (log_allowed(&limit))
        log_warn("history not read, trying again", log_str("why", why));
    if (!timer_running(&feed->retry))
        timer_start(&feed->retry, RETRY_MS);
}

static void on_retry(void *data)
{
    struct feed *feed = data;
    for (struct feed_channel *channel = feed->channels, *next; channel != NULL; channel = next) {
        next = channel->hh.next;
        source_retry(channel->source);
    }
    advance_all(&feed->retrying);
}

/* ---- the set of channels ---- */

static struct feed_channel *create_channel(struct feed *feed, struct slice name)
{
    size_t locals = feed->options.worker_count * sizeof(struct hub_channel *);
    struct feed_channel *channel = h2o_mem_alloc(sizeof(*channel) + locals + name.n);
    memset(channel, 0, sizeof(*channel) + locals);
    channel->feed = feed;
    memcpy(name_of(channel), name.p, name.n);
    channel->source = source_create(&feed->shared, channel, name);
    HASH_ADD_KEYPTR(hh, feed->channels, name_of(channel), name.n, channel);
    subscribe_add(feed->subscribe, name, channel);
    metric_add(COUNT_CHANNELS, 1);
    return channel;
}

static void drop_channel(struct feed_channel *channel)
{
    struct feed *feed = channel->feed;
    subscribe_remove(feed->subscribe, source_name(channel->source));
    HASH_DEL(feed->channels, channel);
    source_destroy(channel->source);
    free(channel);
    metric_add(COUNT_CHANNELS, -1);
}

/* The channel of this name, known to be listened to by the asking worker from now on. */
static struct feed_channel *listen_for(struct feed *feed, uint32_t worker, const struct ask_channel *asked)
{
    struct slice name = slice_of(asked->name);
    struct feed_channel *channel;
    HASH_FIND(hh, feed->channels, name.p, name.n, channel);
    if (channel == NULL)
        channel = create_channel(feed, name);
    if (channel->locals[worker] == NULL)
        ++channel->listeners;
    channel->locals[worker] = asked->local;
    return channel;
}

static void join(struct feed *feed, struct ask *ask)
{
    if (ask->opening == NULL) {
        struct source **sources = h2o_mem_alloc(ask->count * sizeof(*sources));
        for (uint32_t i = 0; i < ask->count; ++i)
            sources[i] = listen_for(feed, ask->worker, &ask->channels[i])->source;
        ask->opening = h2o_mem_alloc(sizeof(*ask->opening));
        *ask->opening = (struct opening){.feed = feed, .ask = ask};
        ask->replay = replay_create(ask, sources, &feed->shared, on_own_read, ask->opening);
        free(sources);
    }
    advance(ask->opening);
}

static void leave(struct feed *feed, struct ask *ask)
{
    struct slice name = slice_of(ask->channels[0].name);
    struct feed_channel *channel;
    HASH_FIND(hh, feed->channels, name.p, name.n, channel);
    if (channel != NULL && channel->locals[ask->worker] == ask->channels[0].local) {
        channel->locals[ask->worker] = NULL;
        if (--channel->listeners == 0)
            drop_channel(channel);
    }
    tell(feed, ask->worker, (struct tell){.kind = TELL_LEFT, .left = ask->channels[0].local});
    ask_free(ask);
}

static void on_asks(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    struct feed *feed = H2O_STRUCT_FROM_MEMBER(struct feed, asks, receiver);
    h2o_linklist_t asks;
    h2o_linklist_init_anchor(&asks);
    outbox_open(messages, &asks);
    while (!h2o_linklist_is_empty(&asks)) {
        struct ask *ask = H2O_STRUCT_FROM_MEMBER(struct ask, super.link, asks.next);
        h2o_linklist_unlink(&ask->super.link);
        if (ask->kind == ASK_JOIN)
            join(feed, ask);
        else
            leave(feed, ask);
    }
}

/* ---- the two connections ---- */

/* Of the subscription to ANNOUNCE_CHANNEL. */
static void *nodes_tag(struct feed *feed)
{
    return feed;
}

static void on_subscribed(void *data, void *tag)
{
    struct feed *feed = data;
    if (tag == canary_tag(feed->canary))
        canary_subscribed(feed->canary);
    else if (tag != nodes_tag(feed))
        source_subscribed(((struct feed_channel *)tag)->source);
}

static void on_message(void *data, void *tag, struct slice payload)
{
    struct feed *feed = data;
    if (tag == canary_tag(feed->canary))
        canary_message(feed->canary, payload);
    else if (tag == nodes_tag(feed))
        feed->options.on_node(feed->options.data, payload);
    else
        source_message(((struct feed_channel *)tag)->source, payload);
}

static void on_subscriber_lost(void *data, const char *why)
{
    struct feed *feed = data;
    (void)why;
    metric_add(COUNT_BUS_LOST, 1);
    for (struct feed_channel *channel = feed->channels; channel != NULL; channel = channel->hh.next)
        source_lost(channel->source);
    canary_lost(feed->canary);
    count_up(feed);
}

static void on_subscriber_ready(void *data)
{
    count_up(data);
}

static void on_time(void *data, const redisReply *reply, const char *why)
{
    struct feed *feed = data;
    if (why != NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING)
        return;
    int64_t now = strtoll(reply->element[0]->str, NULL, 10) * 1000 + strtoll(reply->element[1]->str, NULL, 10) / 1000;
    feed->shared.clock_ms = now - (int64_t)monotonic_ms();
    feed->shared.clock_known = true;
}

static void on_commands_ready(void *data)
{
    struct feed *feed = data;
    struct slice argv[] = {SLICE("TIME")};
    if (!redis_command(feed->commands, argv, 1, on_time, feed))
        return; /* lost again: on_commands_lost() follows */
    count_up(feed);
    on_retry(feed);
}

static void on_commands_lost(void *data, const char *why)
{
    struct feed *feed = data;
    (void)why;
    canary_unsent(feed->canary);
    count_up(feed);
}

struct feed *feed_open(const struct feed_options *options)
{
    struct feed *feed = h2o_mem_alloc(sizeof(*feed));
    *feed = (struct feed){.options = *options};
    feed->outboxes = h2o_mem_alloc(options->worker_count * sizeof(*feed->outboxes));
    for (uint32_t w = 0; w < options->worker_count; ++w)
        feed->outboxes[w] = (struct outbox){.to = options->workers[w], .local = options->local};
    h2o_multithread_register_receiver(options->queue, &feed->asks, on_asks);
    timer_init(&feed->retry, options->loop, on_retry, feed);
    struct topology_options topology = {.loop = options->loop, .getaddr = options->getaddr, .url = options->url};
    struct redis_options redis = {.loop = options->loop,
                                  .getaddr = options->getaddr,
                                  .url = options->url,
                                  .topology = topology_open(&topology),
                                  .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                  .reply_timeout_ms = options->redis_timeout_ms,
                                  .data = feed};
    redis.name = "sse-gateway:commands";
    redis.on_ready = on_commands_ready;
    redis.on_lost = on_commands_lost;
    feed->commands = redis_open(&redis);
    redis.name = "sse-gateway:subscriber";
    feed->subscribe = subscribe_open(
        &redis, &(struct subscribe_events){on_subscribed, on_message, on_subscriber_ready, on_subscriber_lost, feed});
    feed->shared = (struct source_shared){.commands = feed->commands,
                                          .limits = options->ring,
                                          .on_event = on_event,
                                          .on_read_failed = on_read_failed,
                                          .on_live = on_live};
    feed->canary = canary_open(&(struct canary_options){
        .loop = options->loop, .commands = feed->commands, .subscribe = feed->subscribe, .interval_ms = CANARY_INTERVAL_MS});
    return feed;
}

h2o_multithread_receiver_t *feed_asks(struct feed *feed)
{
    return &feed->asks;
}

bool feed_turn(struct feed *feed)
{
    bool any = false;
    for (uint32_t w = 0; w < feed->options.worker_count; ++w)
        any = outbox_send(&feed->outboxes[w]) || any;
    return any;
}

void feed_announce(struct feed *feed, struct slice json)
{
    char channel[CHANNEL_KEY_MAX];
    struct slice argv[] = {SLICE("PUBLISH"), slice_make(channel, channel_pubsub(channel, ANNOUNCE_CHANNEL)), json};
    if (!redis_command(feed->commands, argv, 3, NULL, NULL))
        return; /* the next one tells all that this one would have */
}

void feed_hear_nodes(struct feed *feed, bool on)
{
    if (on)
        subscribe_add(feed->subscribe, ANNOUNCE_CHANNEL, nodes_tag(feed));
    else
        subscribe_remove(feed->subscribe, ANNOUNCE_CHANNEL);
}

bool feed_usable(struct feed *feed)
{
    return atomic_load_explicit(&feed->usable, memory_order_relaxed);
}

static uint64_t canary_late_ms(const struct feed *feed)
{
    uint64_t timeout = feed->options.redis_timeout_ms;
    return timeout < CANARY_LATE_MIN_MS ? CANARY_LATE_MIN_MS : timeout > CANARY_LATE_MAX_MS ? CANARY_LATE_MAX_MS : timeout;
}

const char *feed_why(void *data)
{
    const struct feed *feed = data;
    const char *why = subscribe_why(feed->subscribe);
    if (why == NULL)
        why = redis_why(feed->commands);
    if (why != NULL)
        return why;
    return canary_age_ms(feed->canary) > canary_late_ms(feed) ? "no message comes back from Redis" : NULL;
}
