#include "gateway/feed/feed.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "gateway/counters.h"
#include "gateway/feed/channel.h"
#include "gateway/feed/channel_inside.h"
#include "gateway/feed/gate.h"
#include "gateway/feed/opening.h"
#include "gateway/feed/uplink.h"
#include "gateway/messages.h"
#include "proto/bus/channel_slot.h"
#include "runtime/announce.h"
#include "runtime/limits.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"

enum {
    RETRY_MS = 250,
    RETRY_MAX_MS = 4000,
    BUSY_CHANNELS = 1000, /* unconfirmed at one shard: new ones wait */
    REQUESTS_US = 1000, /* of a turn, for requests; as much for openings that have what they waited for, and for leases */
};

struct feed {
    struct feed_options options;
    h2o_multithread_receiver_t requests;
    h2o_linklist_t inbox; /* struct feed_request, in order: what feed_take_requests() has not taken yet */
    struct outbox *outboxes; /* one a worker */
    struct uplinks *uplinks;
    struct ring_memory memory;
    struct page_budget pages;
    struct channel_shared shared;
    struct channel *channels; /* uthash by name */
    struct gate *gate;
    atomic_size_t spoken_for; /* channels there are, and new ones that wait at the gate */
    atomic_size_t promised; /* new ones of requests that are on their way here */
    bool leases_due; /* a clock was read, and not all of them were looked at since */
    bool hears_nodes;
    struct uplink *nodes; /* where ANNOUNCE_CHANNEL is subscribed; NULL: nowhere */
    struct subscription nodes_subscription;
    struct openings openings;
    struct timer retry;
    uint64_t retry_ms; /* the next wait */
    atomic_bool behind; /* the inbox was not emptied */
    atomic_bool usable; /* the same, for all threads: answers come at once */
};

static void send_update(void *data, uint32_t worker, struct feed_update update)
{
    struct feed *feed = data;
    struct feed_update *copy = h2o_mem_alloc(sizeof(*copy));
    *copy = update;
    outbox_put(&feed->outboxes[worker], &copy->super);
}

/* Soon, and each time later while nothing succeeds. */
static void retry_soon(void *data)
{
    struct feed *feed = data;
    if (timer_running(&feed->retry))
        return;
    timer_start(&feed->retry, feed->retry_ms);
    feed->retry_ms = feed->retry_ms * 2 < RETRY_MAX_MS ? feed->retry_ms * 2 : RETRY_MAX_MS;
}

static struct feed *feed_of(const struct channel *channel)
{
    return H2O_STRUCT_FROM_MEMBER(struct feed, shared, channel->shared);
}

/* NULL: nobody listens to it. */
static struct channel *find(const struct feed *feed, struct slice name)
{
    struct channel *channel;
    HASH_FIND(hh, feed->channels, name.p, name.n, channel);
    return channel;
}

/* ---- a channel's events ---- */

static void on_event(struct channel *channel, struct frame *frame)
{
    struct feed *feed = feed_of(channel);
    uint64_t now_us = monotonic_us();
    bool unsettled = feed->shared.unsettled != 0 || !uplinks_settled(feed->uplinks, now_us);
    struct feed_update event = {.kind = UPDATE_EVENT, .event = {.frame = frame, .came_us = now_us, .unsettled = unsettled}};
    for (uint32_t w = 0; w < feed->options.worker_count; ++w) {
        if ((event.event.channel = channel->locals[w]) == NULL)
            continue;
        frame_ref(frame);
        send_update(feed, w, event);
    }
}

static void on_live(struct channel *channel)
{
    feed_of(channel)->retry_ms = RETRY_MS;
    openings_set_ready(&feed_of(channel)->openings, channel);
}

/* Ends this channel's streams, and those only, with a reason; until the last of them is gone there are no others of it. */
static void refuse_channel(struct channel *channel, const struct refusal *why)
{
    static struct log_limit limit;
    struct feed *feed = feed_of(channel);
    if (channel->refused != NULL)
        return;
    channel->refused = why;
    if (log_allowed(&limit))
        log_warn("channel refused", log_slice("channel", channel->name), log_str("why", why->sentence));
    struct feed_update update = {.kind = UPDATE_CHANNEL_REFUSED, .refused = {.why = why}};
    for (uint32_t w = 0; w < feed->options.worker_count; ++w)
        if ((update.refused.channel = channel->locals[w]) != NULL)
            send_update(feed, w, update);
    openings_set_ready(&feed->openings, channel);
}

static void on_read_failed(struct channel *channel, const char *why)
{
    static struct log_limit limit;
    struct feed *feed = feed_of(channel);
    const struct refusal *refusal = opening_refusal(history_fault(why));
    if (refusal != NULL && channel_live(channel)) {
        channel_drop_wishes(channel); /* open streams need nothing of its history; those that wait do */
        openings_refuse(channel, refusal);
        return;
    }
    if (refusal != NULL) {
        refuse_channel(channel, refusal);
        return;
    }
    if (log_allowed(&limit))
        log_warn("history not read; retrying", log_str("why", why));
    retry_soon(feed);
}

static void on_retry(void *data)
{
    struct feed *feed = data;
    timer_stop(&feed->retry);
    for (struct channel *channel = feed->channels, *next; channel != NULL; channel = next) {
        next = channel->hh.next;
        channel_retry(channel);
    }
    openings_retry(&feed->openings);
}

/* ---- a channel's subscription ---- */

static struct channel *channel_of(struct subscription *subscription)
{
    return H2O_STRUCT_FROM_MEMBER(struct channel, subscription, subscription);
}

static void on_subscribed(struct subscription *subscription)
{
    channel_subscribed(channel_of(subscription));
}

static void on_message(struct subscription *subscription, struct slice payload)
{
    channel_message(channel_of(subscription), payload);
}

static void on_unsubscribed(struct subscription *subscription)
{
    channel_lost(channel_of(subscription));
}

static void on_refused(struct subscription *subscription, const char *why)
{
    static const struct refusal forbidden = {403, 0, "this gateway's Redis user may not subscribe to this channel"};
    (void)why;
    refuse_channel(channel_of(subscription), &forbidden);
}

static const struct subscription_events channel_events = {
    .on_subscribed = on_subscribed, .on_message = on_message, .on_unsubscribed = on_unsubscribed, .on_refused = on_refused};

/* ---- the set of channels ---- */

static void count_spoken_for(struct feed *feed)
{
    atomic_store_explicit(&feed->spoken_for, HASH_COUNT(feed->channels) + gate_waiting(feed->gate), memory_order_relaxed);
}

static struct channel *create_channel(struct feed *feed, struct slice name)
{
    uint16_t slot = channel_slot(name);
    struct uplink *uplink = uplinks_of(feed->uplinks, slot);
    struct channel *channel = channel_create(&feed->shared, uplink == NULL ? NULL : &uplink->shard, name);
    channel->subscription.events = &channel_events;
    channel->slot = slot;
    channel->uplink = uplink;
    HASH_ADD_KEYPTR(hh, feed->channels, channel->name.p, name.n, channel);
    if (uplink != NULL)
        uplink_subscribe(uplink, name, &channel->subscription);
    metric_add(COUNT_CHANNELS, 1);
    count_spoken_for(feed);
    return channel;
}

static void drop_channel(struct channel *channel)
{
    struct feed *feed = feed_of(channel);
    if (channel->uplink != NULL)
        uplink_unsubscribe(channel->uplink, channel->name);
    HASH_DEL(feed->channels, channel);
    channel_destroy(channel);
    metric_add(COUNT_CHANNELS, -1);
    count_spoken_for(feed);
}

static void move_channel(struct channel *channel)
{
    struct uplink *uplink = uplinks_of(feed_of(channel)->uplinks, channel->slot);
    if (uplink == channel->uplink)
        return;
    if (channel->uplink != NULL)
        uplink_unsubscribe(channel->uplink, channel->name);
    channel->uplink = uplink;
    channel_move(channel, uplink == NULL ? NULL : &uplink->shard);
    if (uplink != NULL)
        uplink_subscribe(uplink, channel->name, &channel->subscription);
}

/* The channel of this name, known to be listened to by the asking worker from now on. */
static struct channel *listen_for(struct feed *feed, uint32_t worker, const struct requested_channel *asked)
{
    struct channel *channel = find(feed, asked->name);
    if (channel == NULL)
        channel = create_channel(feed, asked->name);
    if (channel->locals[worker] == NULL)
        ++channel->listeners;
    channel->locals[worker] = asked->local;
    return channel;
}

static void begin(struct feed *feed, struct feed_request *request)
{
    for (uint32_t i = 0; i < request->count; ++i)
        request->channels[i].channel = listen_for(feed, request->worker, &request->channels[i]);
    request->listens = true;
    opening_start(&feed->openings, request);
}

static void let_in(void *data, struct feed_request *request)
{
    struct feed *feed = data;
    begin(feed, request);
    count_spoken_for(feed); /* its channels are counted now, and it is no longer at the gate */
}

static bool is_busy(void *data)
{
    return uplinks_under_way(((struct feed *)data)->uplinks) >= BUSY_CHANNELS;
}

static uint32_t count_fresh(struct feed *feed, const struct feed_request *request)
{
    uint32_t fresh = 0;
    for (uint32_t i = 0; i < request->count; ++i)
        fresh += find(feed, request->channels[i].name) == NULL;
    return fresh;
}

/* The room that was kept for it is its own until its channels are counted. */
static void join_new(struct feed *feed, struct feed_request *request)
{
    static const struct refusal full = {503, CHANNELS_RETRY_S, CHANNELS_SENTENCE};
    uint32_t fresh = count_fresh(feed, request), promised = request->promised;
    if (fresh == 0) {
        begin(feed, request);
    } else if (fresh > feed_room(feed) + promised) {
        metric_add(COUNT_LIMITED + LIMIT_CHANNELS - 1, 1);
        opening_refuse(&feed->openings, request, &full);
    } else {
        request->place = REQUEST_AT_GATE;
        gate_put(feed->gate, request, fresh);
        count_spoken_for(feed);
    }
    feed_give_back(feed, promised);
}

static void join(struct feed *feed, struct feed_request *request)
{
    const struct refusal *gone = opening_abandoned(request);
    if (gone == NULL && request->opening != NULL) {
        opening_go_on(request->opening);
    } else if (gone == NULL) {
        join_new(feed, request);
    } else {
        feed_give_back(feed, request->opening == NULL ? request->promised : 0);
        opening_refuse(&feed->openings, request, gone);
    }
}

static void leave(struct feed *feed, struct feed_request *request)
{
    for (uint32_t i = 0; i < request->count; ++i) {
        struct channel *channel = find(feed, request->channels[i].name);
        if (channel == NULL || channel->locals[request->worker] != request->channels[i].local)
            continue;
        channel->locals[request->worker] = NULL;
        if (--channel->listeners == 0)
            drop_channel(channel);
    }
    send_update(feed, request->worker, (struct feed_update){.kind = UPDATE_LEFT, .request = request});
}

static void cancel(struct feed *feed, struct feed_request *request)
{
    switch (request->place) {
    case REQUEST_AWAY: /* its answer is on the way, or a page is being written */
    case REQUEST_OPENING:
        if (request->opening != NULL)
            opening_cancel(request->opening);
        break;
    case REQUEST_AT_GATE:
        gate_take_out(feed->gate, request);
        count_spoken_for(feed);
        opening_refuse(&feed->openings, request, opening_abandoned(request));
        break;
    }
}

static void take_request(struct feed *feed, struct feed_request *request)
{
    switch (request->kind) {
    case REQUEST_JOIN:
        join(feed, request);
        break;
    case REQUEST_LEAVE:
        leave(feed, request);
        break;
    case REQUEST_CANCEL:
        cancel(feed, request->cancelled);
        feed_request_free(request->cancelled);
        feed_request_free(request);
        break;
    }
}

static void on_requests(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    outbox_unpack(messages, &H2O_STRUCT_FROM_MEMBER(struct feed, requests, receiver)->inbox);
}

/* ---- the bus ---- */

static void on_node(struct subscription *subscription, struct slice payload)
{
    struct feed *feed = H2O_STRUCT_FROM_MEMBER(struct feed, nodes_subscription, subscription);
    feed->options.on_node(feed->options.data, payload);
}

static void on_nodes_refused(struct subscription *subscription, const char *why)
{
    (void)subscription;
    log_warn("cannot receive the state of other nodes", log_str("why", why));
}

static void on_nodes_change(struct subscription *subscription)
{
    (void)subscription; /* what was announced meanwhile is announced again */
}

static const struct subscription_events nodes_events = {
    .on_subscribed = on_nodes_change, .on_message = on_node, .on_unsubscribed = on_nodes_change, .on_refused = on_nodes_refused};

static void on_subscriber_lost(void *data, struct uplink *uplink)
{
    struct feed *feed = data;
    for (struct channel *channel = feed->channels; channel != NULL; channel = channel->hh.next)
        if (channel->uplink == uplink)
            channel_lost(channel);
}

static void on_doubt(void *data, struct uplink *uplink)
{
    struct feed *feed = data;
    for (struct channel *channel = feed->channels; channel != NULL; channel = channel->hh.next)
        if (channel->uplink == uplink)
            channel_doubt(channel);
}

static void hear_nodes(struct feed *feed, struct uplink *uplink)
{
    if (feed->nodes == uplink)
        return;
    if (feed->nodes != NULL)
        uplink_unsubscribe(feed->nodes, ANNOUNCE_CHANNEL);
    feed->nodes = uplink;
    if (uplink != NULL)
        uplink_subscribe(uplink, ANNOUNCE_CHANNEL, &feed->nodes_subscription);
}

static struct uplink *nodes_uplink(const struct feed *feed)
{
    return feed->hears_nodes ? uplinks_of(feed->uplinks, channel_slot(ANNOUNCE_CHANNEL)) : NULL;
}

static void on_moved(void *data)
{
    struct feed *feed = data;
    for (struct channel *channel = feed->channels; channel != NULL; channel = channel->hh.next)
        move_channel(channel);
    hear_nodes(feed, nodes_uplink(feed));
}

static void on_change(void *data)
{
    struct feed *feed = data;
    bool up = uplinks_ready(feed->uplinks);
    metric_set(COUNT_BUS_UP, up);
    atomic_store_explicit(&feed->usable, up, memory_order_relaxed);
}

static void on_clock(void *data)
{
    struct feed *feed = data;
    feed->shared.margin_ms = uplinks_margin_ms(feed->uplinks);
    metric_set(COUNT_RING_BYTES, (int64_t)feed->memory.bytes);
    feed->leases_due = true;
}

/* False: there are no more. */
static bool check_leases(struct feed *feed, uint64_t until_us)
{
    bool more = false;
    for (struct uplink *uplink = uplinks_first(feed->uplinks); feed->leases_due && uplink != NULL; uplink = uplink->next)
        more = channel_check_leases(&uplink->shard, until_us) || more;
    feed->leases_due = more;
    return more;
}

struct feed *feed_open(const struct feed_options *options)
{
    struct feed *feed = h2o_mem_alloc(sizeof(*feed));
    *feed = (struct feed){.options = *options, .retry_ms = RETRY_MS, .nodes_subscription = {&nodes_events}};
    h2o_linklist_init_anchor(&feed->inbox);
    feed->outboxes = h2o_mem_alloc(options->worker_count * sizeof(*feed->outboxes));
    for (uint32_t w = 0; w < options->worker_count; ++w)
        feed->outboxes[w] = (struct outbox){.to = options->workers[w], .local = options->local};
    h2o_multithread_register_receiver(options->queue, &feed->requests, on_requests);
    ring_memory_init(&feed->memory, options->ring_memory);
    feed->pages = (struct page_budget){.most = options->ring_memory / 4};
    metric_set(COUNT_RING_LIMIT, (int64_t)options->ring_memory);
    timer_init(&feed->retry, options->loop, on_retry, feed);
    openings_init(&feed->openings, &feed->shared, send_update, retry_soon, feed);
    feed->gate = gate_open(&(struct gate_options){.loop = options->loop, .is_busy = is_busy, .let_in = let_in, .data = feed});
    feed->uplinks = uplinks_open(&(struct uplinks_options){.loop = options->loop,
                                                           .getaddr = options->getaddr,
                                                           .url = options->url,
                                                           .redis_timeout_ms = options->redis_timeout_ms,
                                                           .weights = options->weights,
                                                           .on_subscriber_lost = on_subscriber_lost,
                                                           .on_doubt = on_doubt,
                                                           .on_commands = on_retry,
                                                           .on_change = on_change,
                                                           .on_moved = on_moved,
                                                           .on_clock = on_clock,
                                                           .data = feed});
    feed->shared = (struct channel_shared){.worker_count = options->worker_count,
                                           .margin_ms = uplinks_margin_ms(feed->uplinks),
                                           .limits = {options->ring_frames, options->ring_bytes, &feed->memory},
                                           .pages = &feed->pages,
                                           .on_event = on_event,
                                           .on_read_failed = on_read_failed,
                                           .on_live = on_live};
    h2o_linklist_init_anchor(&feed->shared.counted);
    return feed;
}

h2o_multithread_receiver_t *feed_requests(struct feed *feed)
{
    return &feed->requests;
}

bool feed_take_requests(struct feed *feed)
{
    bool leases = check_leases(feed, monotonic_us() + REQUESTS_US);
    bool more = openings_run(&feed->openings, monotonic_us() + REQUESTS_US);
    for (uint64_t until_us = monotonic_us() + REQUESTS_US; !h2o_linklist_is_empty(&feed->inbox) && monotonic_us() < until_us;)
        take_request(feed, H2O_STRUCT_FROM_MEMBER(struct feed_request, super.link, list_take(&feed->inbox)));
    more = more || !h2o_linklist_is_empty(&feed->inbox);
    atomic_store_explicit(&feed->behind, more, memory_order_relaxed);
    return more || leases;
}

bool feed_is_behind(struct feed *feed)
{
    return atomic_load_explicit(&feed->behind, memory_order_relaxed);
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
    uplinks_publish(feed->uplinks, ANNOUNCE_CHANNEL, json);
}

void feed_hear_nodes(struct feed *feed, bool on)
{
    feed->hears_nodes = on;
    hear_nodes(feed, nodes_uplink(feed));
}

static size_t room_beside(struct feed *feed, size_t promised)
{
    size_t max = feed->options.max_channels == 0 ? SIZE_MAX : feed->options.max_channels;
    size_t taken = atomic_load_explicit(&feed->spoken_for, memory_order_relaxed) + promised;
    return taken < max ? max - taken : 0;
}

size_t feed_room(struct feed *feed)
{
    return room_beside(feed, atomic_load_explicit(&feed->promised, memory_order_relaxed));
}

bool feed_promise(struct feed *feed, uint32_t fresh)
{
    size_t others = atomic_fetch_add_explicit(&feed->promised, fresh, memory_order_relaxed);
    bool has_room = fresh <= room_beside(feed, others);
    if (!has_room)
        feed_give_back(feed, fresh);
    return has_room;
}

void feed_give_back(struct feed *feed, uint32_t fresh)
{
    atomic_fetch_sub_explicit(&feed->promised, fresh, memory_order_relaxed);
}

bool feed_usable(struct feed *feed)
{
    return atomic_load_explicit(&feed->usable, memory_order_relaxed);
}

const char *feed_why(void *data)
{
    return uplinks_why(((struct feed *)data)->uplinks);
}
