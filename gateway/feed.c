#include "gateway/feed.h"

#include <stdlib.h>
#include <uthash.h>

#include "gateway/counters.h"
#include "gateway/source.h"
#include "proto/bus/subscribe.h"
#include "proto/channel.h"
#include "runtime/log.h"
#include "runtime/timer.h"

enum { CONNECT_TIMEOUT_MS = 3000, RETRY_MS = 250 };

/* A channel that at least one worker listens to. */
struct feed_channel {
    struct feed *feed;
    struct source *source;
    struct ask *waiting, **waiting_tail; /* opening streams that wait for this channel, in order */
    uint32_t listeners;
    UT_hash_handle hh;
    struct hub_channel *locals[]; /* one a worker, NULL when it does not listen; the name follows */
};

struct feed {
    struct feed_options options;
    h2o_multithread_receiver_t asks;
    struct subscribe *subscribe;
    struct redis *commands;
    struct source_shared shared;
    struct feed_channel *channels; /* uthash by name */
    struct timer retry;
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
    h2o_multithread_send_message(feed->options.workers[worker], &copy->super);
}

static void count_up(struct feed *feed)
{
    bool up = subscribe_ready(feed->subscribe) && redis_ready(feed->commands);
    metric_set(COUNT_BUS_UP, up);
    if (up && !feed->up)
        log_info("ready");
    feed->up = up;
}

/* ---- opening streams ---- */

static uint32_t depth_of(const struct ask *ask)
{
    return ask->mode == START_LAST ? ask->last : 0;
}

/* The first channel that is not ready for this stream, NULL when all are. */
static struct feed_channel *not_ready(const struct ask *ask)
{
    for (uint32_t i = 0; i < ask->count; ++i) {
        struct feed_channel *channel = ask->channels[i].feed;
        if (!source_ready(channel->source, depth_of(ask)))
            return channel;
    }
    return NULL;
}

static int compare_frames(const void *a, const void *b)
{
    return position_compare((*(struct frame *const *)a)->at, (*(struct frame *const *)b)->at);
}

/* References to the newest `ask->last` events of each channel, by time over all of them. */
static void collect_replay(const struct ask *ask, struct tell *welcome)
{
    size_t room = 0;
    uint32_t depth = depth_of(ask);
    for (uint32_t i = 0; i < ask->count; ++i) {
        const struct ring *ring = source_ring(((struct feed_channel *)ask->channels[i].feed)->source);
        room += ring->count < depth ? ring->count : depth;
    }
    if (room == 0)
        return;
    welcome->welcome.frames = h2o_mem_alloc(room * sizeof(struct frame *));
    for (uint32_t i = 0; i < ask->count; ++i) {
        const struct ring *ring = source_ring(((struct feed_channel *)ask->channels[i].feed)->source);
        for (uint32_t at = ring->count < depth ? 0 : ring->count - depth; at < ring->count; ++at)
            welcome->welcome.frames[welcome->welcome.count++] = frame_ref(ring_at(ring, at));
    }
    if (ask->count > 1)
        qsort(welcome->welcome.frames, welcome->welcome.count, sizeof(struct frame *), compare_frames);
}

/* The id of this place: in one channel its newest event's, in several the newest time of all of them. */
static void format_position(const struct ask *ask, char out[EVENT_ID_LEN + 1])
{
    struct position newest = POSITION_NONE;
    for (uint32_t i = 0; i < ask->count; ++i) {
        struct position last = source_last(((struct feed_channel *)ask->channels[i].feed)->source);
        if (position_compare(last, newest) > 0)
            newest = last;
    }
    event_id_format(out, ask->count == 1 ? slice_of(ask->channels[0].name) : SLICE(""), newest);
}

/* Answers the ask and frees it, or lets it wait at the first channel that is not ready. From the answer on the worker's queue carries every
 * event of these channels behind it, so the seam between replay and live is the queue's own order. */
static void open_stream(struct feed *feed, struct ask *ask)
{
    struct feed_channel *wait_at = not_ready(ask);
    if (wait_at != NULL) {
        ask->next = NULL;
        *wait_at->waiting_tail = ask;
        wait_at->waiting_tail = &ask->next;
        return;
    }
    struct tell welcome = {.kind = TELL_WELCOME, .welcome = {.subscriber = ask->subscriber}};
    format_position(ask, welcome.welcome.position);
    collect_replay(ask, &welcome);
    tell(feed, ask->worker, welcome);
    ask_free(ask);
}

/* ---- a source's events ---- */

static void on_event(void *owner, struct frame *frame)
{
    struct feed_channel *channel = owner;
    struct feed *feed = channel->feed;
    for (uint32_t w = 0; w < feed->options.worker_count; ++w)
        if (channel->locals[w] != NULL)
            tell(feed, w, (struct tell){.kind = TELL_EVENT, .event = {channel->locals[w], frame_ref(frame)}});
}

static void on_live(void *owner)
{
    struct feed_channel *channel = owner;
    struct ask *ask = channel->waiting;
    channel->waiting = NULL;
    channel->waiting_tail = &channel->waiting;
    while (ask != NULL) {
        struct ask *next = ask->next;
        open_stream(channel->feed, ask);
        ask = next;
    }
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
}

/* ---- the set of channels ---- */

static struct feed_channel *create_channel(struct feed *feed, struct slice name)
{
    size_t locals = feed->options.worker_count * sizeof(struct hub_channel *);
    struct feed_channel *channel = h2o_mem_alloc(sizeof(*channel) + locals + name.n);
    memset(channel, 0, sizeof(*channel) + locals);
    channel->feed = feed;
    channel->waiting_tail = &channel->waiting;
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

static void join(struct feed *feed, struct ask *ask)
{
    for (uint32_t i = 0; i < ask->count; ++i) {
        struct slice name = slice_of(ask->channels[i].name);
        struct feed_channel *channel;
        HASH_FIND(hh, feed->channels, name.p, name.n, channel);
        if (channel == NULL)
            channel = create_channel(feed, name);
        if (channel->locals[ask->worker] == NULL)
            ++channel->listeners;
        channel->locals[ask->worker] = ask->channels[i].local;
        ask->channels[i].feed = channel;
    }
    open_stream(feed, ask);
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
    while (!h2o_linklist_is_empty(messages)) {
        struct ask *ask = H2O_STRUCT_FROM_MEMBER(struct ask, super.link, messages->next);
        h2o_linklist_unlink(&ask->super.link);
        if (ask->kind == ASK_JOIN)
            join(feed, ask);
        else
            leave(feed, ask);
    }
}

/* ---- the two connections ---- */

static void on_subscribed(void *data, void *tag)
{
    (void)data;
    source_subscribed(((struct feed_channel *)tag)->source);
}

static void on_message(void *data, void *tag, struct slice payload)
{
    (void)data;
    source_message(((struct feed_channel *)tag)->source, payload);
}

static void on_subscriber_lost(void *data, const char *why)
{
    struct feed *feed = data;
    (void)why;
    metric_add(COUNT_BUS_LOST, 1);
    for (struct feed_channel *channel = feed->channels; channel != NULL; channel = channel->hh.next)
        source_lost(channel->source);
    count_up(feed);
}

static void on_subscriber_ready(void *data)
{
    count_up(data);
}

static void on_commands_ready(void *data)
{
    count_up(data);
    on_retry(data);
}

static void on_commands_lost(void *data, const char *why)
{
    (void)why;
    count_up(data);
}

struct feed *feed_open(const struct feed_options *options)
{
    struct feed *feed = h2o_mem_alloc(sizeof(*feed));
    *feed = (struct feed){.options = *options};
    h2o_multithread_register_receiver(options->queue, &feed->asks, on_asks);
    timer_init(&feed->retry, options->loop, on_retry, feed);
    struct redis_options redis = {.loop = options->loop,
                                  .getaddr = options->getaddr,
                                  .url = options->url,
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
    return feed;
}

h2o_multithread_receiver_t *feed_asks(struct feed *feed)
{
    return &feed->asks;
}

const char *feed_why(void *data)
{
    const struct feed *feed = data;
    const char *why = subscribe_why(feed->subscribe);
    return why != NULL ? why : redis_why(feed->commands);
}
