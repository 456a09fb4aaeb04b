#include "gateway/feed.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "gateway/counters.h"
#include "gateway/outbox.h"
#include "gateway/replay.h"
#include "gateway/trunk.h"
#include "runtime/announce.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"
#include "runtime/seeded_hash.h"
#include "runtime/timer.h"

enum { RETRY_MS = 250 };

/* A stream on its way to live. Goes with its ask. */
struct opening {
    struct feed *feed;
    struct ask *ask;
    struct opening *next; /* in the list where it waits */
    uint32_t barriers; /* that it waits for: one at each shard that has a channel of its */
    struct canary_wait waits[]; /* one a channel, at most */
};

struct openings {
    struct opening *first, *last;
};

/* A channel that at least one worker listens to. */
struct feed_channel {
    struct feed *feed;
    struct source *source;
    struct trunk *trunk; /* to its shard; NULL: none is known to have it */
    uint16_t slot;
    struct openings waiting; /* for this channel */
    uint32_t listeners;
    UT_hash_handle hh;
    struct hub_channel *locals[]; /* one a worker, NULL when it does not listen; the name follows */
};

struct feed {
    struct feed_options options;
    h2o_multithread_receiver_t asks;
    struct outbox *outboxes; /* one a worker */
    struct trunks *trunks;
    struct ring_memory memory;
    struct source_shared shared;
    struct feed_channel *channels; /* uthash by name */
    bool hears_nodes;
    struct trunk *nodes; /* where ANNOUNCE_CHANNEL is subscribed; NULL: nowhere */
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

/* ---- opening streams ---- */

static void advance(struct opening *opening);

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

static void retry_later(struct opening *opening)
{
    append(&opening->feed->retrying, opening);
    if (!timer_running(&opening->feed->retry))
        timer_start(&opening->feed->retry, RETRY_MS);
}

static struct feed_channel *find_channel(struct feed *feed, struct slice name)
{
    struct feed_channel *channel;
    HASH_FIND(hh, feed->channels, name.p, name.n, channel);
    return channel;
}

static void on_barrier(void *data)
{
    struct opening *opening = data;
    if (--opening->barriers == 0)
        advance(opening);
}

static bool waits_at(const struct opening *opening, const struct canary *canary, struct canary *const *canaries)
{
    for (uint32_t i = 0; i < opening->barriers; ++i)
        if (canaries[i] == canary)
            return true;
    return false;
}

/* Goes on when each shard that has one of its channels has sent all that was published there before now. */
static void wait_for_barriers(struct opening *opening)
{
    struct ask *ask = opening->ask;
    struct canary **canaries = h2o_mem_alloc(ask->count * sizeof(*canaries));
    opening->barriers = 0;
    for (uint32_t i = 0; i < ask->count; ++i) {
        const struct feed_channel *channel = find_channel(opening->feed, slice_of(ask->channels[i].name));
        if (channel == NULL || channel->trunk == NULL || waits_at(opening, channel->trunk->canary, canaries))
            continue;
        canaries[opening->barriers] = channel->trunk->canary;
        opening->waits[opening->barriers++] = (struct canary_wait){.cb = on_barrier, .data = opening};
    }
    if (opening->barriers == 0)
        retry_later(opening);
    for (uint32_t i = 0, count = opening->barriers; i < count; ++i)
        canary_barrier(canaries[i], &opening->waits[i]);
    free(canaries);
}

/* Of a stream over several shards, each of which has to be heard: else the ids that it is given now would stand for what has not come yet. */
static bool is_settled(const struct opening *opening)
{
    const struct ask *ask = opening->ask;
    const struct trunk *first = NULL;
    uint64_t now_us = monotonic_us();
    bool several = false, settled = true;
    for (uint32_t i = 0; i < ask->count && ask->count != 1; ++i) {
        const struct feed_channel *channel = find_channel(opening->feed, slice_of(ask->channels[i].name));
        const struct trunk *trunk = channel == NULL ? NULL : channel->trunk;
        first = first == NULL ? trunk : first;
        several = several || trunk != first;
        settled = settled && trunk != NULL && trunk_settled(trunk, now_us);
    }
    return settled || !several;
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
        if (is_settled(opening))
            answer(opening);
        else
            wait_for_barriers(opening);
        break;
    case REPLAY_SOURCE:
        append(&((struct feed_channel *)source_owner(wait_at))->waiting, opening);
        break;
    case REPLAY_BARRIER:
        wait_for_barriers(opening);
        break;
    case REPLAY_READ:
        break;
    case REPLAY_RETRY:
        retry_later(opening);
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
    uint64_t now_us = monotonic_us();
    bool unsettled = feed->shared.unsettled != 0 || !trunks_settled(feed->trunks, now_us);
    struct tell event = {.kind = TELL_EVENT, .event = {.frame = frame, .came_us = now_us, .unsettled = unsettled}};
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

static const struct source_shard *shard_of(const struct trunk *trunk)
{
    return trunk == NULL ? NULL : &trunk->shard;
}

static struct feed_channel *create_channel(struct feed *feed, struct slice name)
{
    size_t locals = feed->options.worker_count * sizeof(struct hub_channel *);
    struct feed_channel *channel = h2o_mem_alloc(sizeof(*channel) + locals + name.n);
    memset(channel, 0, sizeof(*channel) + locals);
    channel->feed = feed;
    memcpy(name_of(channel), name.p, name.n);
    channel->slot = slot_of(name);
    channel->trunk = trunks_of(feed->trunks, channel->slot);
    channel->source = source_create(&feed->shared, shard_of(channel->trunk), channel, name);
    HASH_ADD_KEYPTR(hh, feed->channels, name_of(channel), name.n, channel);
    if (channel->trunk != NULL)
        subscribe_add(channel->trunk->subscribe, name, channel);
    metric_add(COUNT_CHANNELS, 1);
    return channel;
}

static void drop_channel(struct feed_channel *channel)
{
    struct feed *feed = channel->feed;
    if (channel->trunk != NULL)
        subscribe_remove(channel->trunk->subscribe, source_name(channel->source));
    HASH_DEL(feed->channels, channel);
    source_destroy(channel->source);
    free(channel);
    metric_add(COUNT_CHANNELS, -1);
}

static void move_channel(struct feed_channel *channel)
{
    struct slice name = source_name(channel->source);
    struct trunk *trunk = trunks_of(channel->feed->trunks, channel->slot);
    if (trunk == channel->trunk)
        return;
    if (channel->trunk != NULL)
        subscribe_remove(channel->trunk->subscribe, name);
    channel->trunk = trunk;
    source_move(channel->source, shard_of(trunk));
    if (trunk != NULL)
        subscribe_add(trunk->subscribe, name, channel);
}

/* The channel of this name, known to be listened to by the asking worker from now on. */
static struct feed_channel *listen_for(struct feed *feed, uint32_t worker, const struct ask_channel *asked)
{
    struct slice name = slice_of(asked->name);
    struct feed_channel *channel = find_channel(feed, name);
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
        ask->opening = h2o_mem_alloc(sizeof(*ask->opening) + ask->count * sizeof(ask->opening->waits[0]));
        *ask->opening = (struct opening){.feed = feed, .ask = ask};
        ask->replay = replay_create(ask, sources, &feed->shared, on_own_read, ask->opening);
        free(sources);
    }
    advance(ask->opening);
}

static void leave(struct feed *feed, struct ask *ask)
{
    struct feed_channel *channel = find_channel(feed, slice_of(ask->channels[0].name));
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

/* ---- the bus ---- */

/* Of the subscription to ANNOUNCE_CHANNEL. */
static void *nodes_tag(struct feed *feed)
{
    return feed;
}

static void on_subscribed(void *data, void *tag)
{
    if (tag != nodes_tag(data))
        source_subscribed(((struct feed_channel *)tag)->source);
}

static void on_message(void *data, void *tag, struct slice payload)
{
    struct feed *feed = data;
    if (tag == nodes_tag(feed))
        feed->options.on_node(feed->options.data, payload);
    else
        source_message(((struct feed_channel *)tag)->source, payload);
}

static void on_unsubscribed(void *data, void *tag)
{
    if (tag != nodes_tag(data))
        source_lost(((struct feed_channel *)tag)->source);
}

static void on_subscriber_lost(void *data, struct trunk *trunk)
{
    struct feed *feed = data;
    for (struct feed_channel *channel = feed->channels; channel != NULL; channel = channel->hh.next)
        if (channel->trunk == trunk)
            source_lost(channel->source);
}

static void on_doubt(void *data, struct trunk *trunk)
{
    struct feed *feed = data;
    for (struct feed_channel *channel = feed->channels; channel != NULL; channel = channel->hh.next)
        if (channel->trunk == trunk)
            source_doubt(channel->source);
}

static void hear_nodes(struct feed *feed, struct trunk *trunk)
{
    if (feed->nodes == trunk)
        return;
    if (feed->nodes != NULL)
        subscribe_remove(feed->nodes->subscribe, ANNOUNCE_CHANNEL);
    feed->nodes = trunk;
    if (trunk != NULL)
        subscribe_add(trunk->subscribe, ANNOUNCE_CHANNEL, nodes_tag(feed));
}

static struct trunk *nodes_trunk(const struct feed *feed)
{
    return feed->hears_nodes ? trunks_of(feed->trunks, slot_of(ANNOUNCE_CHANNEL)) : NULL;
}

static void on_moved(void *data)
{
    struct feed *feed = data;
    for (struct feed_channel *channel = feed->channels; channel != NULL; channel = channel->hh.next)
        move_channel(channel);
    hear_nodes(feed, nodes_trunk(feed));
}

static void on_change(void *data)
{
    struct feed *feed = data;
    bool up = trunks_ready(feed->trunks);
    metric_set(COUNT_BUS_UP, up);
    atomic_store_explicit(&feed->usable, up, memory_order_relaxed);
    if (up && !feed->up)
        log_info("ready");
    feed->up = up;
}

static void on_beat(void *data)
{
    struct feed *feed = data;
    feed->shared.margin_ms = trunks_margin_ms(feed->trunks);
    metric_set(COUNT_RING_BYTES, (int64_t)feed->memory.bytes);
}

struct feed *feed_open(const struct feed_options *options)
{
    struct feed *feed = h2o_mem_alloc(sizeof(*feed));
    *feed = (struct feed){.options = *options};
    feed->outboxes = h2o_mem_alloc(options->worker_count * sizeof(*feed->outboxes));
    for (uint32_t w = 0; w < options->worker_count; ++w)
        feed->outboxes[w] = (struct outbox){.to = options->workers[w], .local = options->local};
    h2o_multithread_register_receiver(options->queue, &feed->asks, on_asks);
    ring_memory_init(&feed->memory, options->ring_memory);
    metric_set(COUNT_RING_LIMIT, (int64_t)options->ring_memory);
    timer_init(&feed->retry, options->loop, on_retry, feed);
    feed->trunks = trunks_open(&(struct trunks_options){.loop = options->loop,
                                                        .getaddr = options->getaddr,
                                                        .url = options->url,
                                                        .redis_timeout_ms = options->redis_timeout_ms,
                                                        .weights = options->weights,
                                                        .on_subscribed = on_subscribed,
                                                        .on_message = on_message,
                                                        .on_unsubscribed = on_unsubscribed,
                                                        .on_subscriber_lost = on_subscriber_lost,
                                                        .on_doubt = on_doubt,
                                                        .on_commands = on_retry,
                                                        .on_change = on_change,
                                                        .on_moved = on_moved,
                                                        .on_beat = on_beat,
                                                        .data = feed});
    feed->shared = (struct source_shared){.margin_ms = trunks_margin_ms(feed->trunks),
                                          .limits = {options->ring_frames, options->ring_bytes, &feed->memory},
                                          .on_event = on_event,
                                          .on_read_failed = on_read_failed,
                                          .on_live = on_live};
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
    trunks_publish(feed->trunks, ANNOUNCE_CHANNEL, json);
}

void feed_hear_nodes(struct feed *feed, bool on)
{
    feed->hears_nodes = on;
    hear_nodes(feed, nodes_trunk(feed));
}

bool feed_usable(struct feed *feed)
{
    return atomic_load_explicit(&feed->usable, memory_order_relaxed);
}

const char *feed_why(void *data)
{
    return trunks_why(((struct feed *)data)->trunks);
}
