#include "gateway/hub.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <uthash.h>

#include "gateway/keepalive.h"
#include "gateway/transport.h"
#include "gateway/welcome.h"

/* Deliveries in one go before the worker looks at its other sockets again. */
enum { SLICE_DELIVERIES = 1000 };

/* One stream in a channel's array. fd is the short cut: >= 0 while the stream may be written to at once. */
struct entry {
    int fd;
    struct member *member;
};

struct hub_channel {
    struct entry *entries;
    uint32_t capacity, count;
    uint32_t cursor;    /* of the fan-out that is under way: entries before it are done */
    uint32_t refs;      /* members, and streams whose join is not answered */
    uint32_t leaves;    /* ASK_LEAVE not yet answered */
    uint64_t active_ms; /* when an event last went out */
    UT_hash_handle hh;
    size_t name_len;
    char name[];
};

struct hub {
    struct hub_options options;
    h2o_multithread_receiver_t tells;
    h2o_multithread_receiver_t *asks;
    struct hub_channel *channels; /* uthash by name */
    h2o_linklist_t inbox;         /* struct tell, in order; the first may be a fan-out half done */
    h2o_linklist_t graveyard;
    struct keepalive keepalive;
};

size_t hub_queue_bytes(const struct hub *hub)
{
    return hub->options.queue_bytes;
}

uint64_t hub_now(const struct hub *hub)
{
    return h2o_now(hub->options.loop);
}

h2o_loop_t *hub_loop(const struct hub *hub)
{
    return hub->options.loop;
}

/* ---- channels ---- */

static struct hub_channel *find_or_create(struct hub *hub, struct slice name)
{
    struct hub_channel *channel;
    HASH_FIND(hh, hub->channels, name.p, name.n, channel);
    if (channel != NULL)
        return channel;
    channel = h2o_mem_alloc(sizeof(*channel) + name.n);
    memset(channel, 0, sizeof(*channel));
    channel->name_len = name.n;
    memcpy(channel->name, name.p, name.n);
    HASH_ADD_KEYPTR(hh, hub->channels, channel->name, channel->name_len, channel);
    return channel;
}

static void free_if_unused(struct hub *hub, struct hub_channel *channel)
{
    if (channel->refs != 0 || channel->leaves != 0)
        return;
    HASH_DEL(hub->channels, channel);
    free(channel->entries);
    free(channel);
}

static char *copy_name(struct slice name)
{
    char *copy = h2o_mem_alloc(name.n + 1);
    memcpy(copy, name.p, name.n);
    copy[name.n] = 0;
    return copy;
}

static void release(struct hub *hub, struct hub_channel *channel)
{
    if (--channel->refs != 0)
        return;
    struct ask *ask = ask_create(1);
    ask->kind = ASK_LEAVE;
    ask->worker = hub->options.worker;
    ask->channels[0].local = channel;
    ask->channels[0].name = copy_name(slice_make(channel->name, channel->name_len));
    ++channel->leaves;
    h2o_multithread_send_message(hub->asks, &ask->super);
}

static void move_entry(struct hub_channel *channel, uint32_t from, uint32_t to)
{
    channel->entries[to] = channel->entries[from];
    channel->entries[to].member->index = to;
}

static void add_member(struct member *member)
{
    struct hub_channel *channel = member->channel;
    if (channel->count == channel->capacity) {
        channel->capacity = channel->capacity == 0 ? 1 : channel->capacity * 2;
        channel->entries = h2o_mem_realloc(channel->entries, channel->capacity * sizeof(*channel->entries));
    }
    member->index = channel->count++;
    channel->entries[member->index] = (struct entry){-1, member};
}

/* Fills the hole from the end; during a fan-out in two steps, so that what was served stays before the cursor and the rest behind it. */
static void remove_member(struct member *member)
{
    struct hub_channel *channel = member->channel;
    uint32_t hole = member->index;
    if (hole == MEMBER_OUT)
        return;
    if (hole < channel->cursor) {
        move_entry(channel, --channel->cursor, hole);
        hole = channel->cursor;
    }
    move_entry(channel, --channel->count, hole);
    member->index = MEMBER_OUT;
}

/* ---- streams come and go ---- */

void hub_join(struct subscriber *subscriber, const struct slice *names, enum start_mode mode, uint32_t last)
{
    struct hub *hub = subscriber->hub;
    struct ask *ask = ask_create(subscriber->member_count);
    ask->kind = ASK_JOIN;
    ask->worker = hub->options.worker;
    ask->subscriber = subscriber;
    ask->mode = mode;
    ask->last = last;
    for (uint32_t i = 0; i < subscriber->member_count; ++i) {
        struct hub_channel *channel = find_or_create(hub, names[i]);
        ++channel->refs;
        subscriber->members[i].channel = channel;
        ask->channels[i].local = channel;
        ask->channels[i].name = copy_name(names[i]);
    }
    subscriber->joining = true;
    keepalive_add(&hub->keepalive, subscriber);
    h2o_multithread_send_message(hub->asks, &ask->super);
}

static void release_channels(struct subscriber *subscriber)
{
    for (uint32_t i = 0; i < subscriber->member_count; ++i)
        release(subscriber->hub, subscriber->members[i].channel);
}

void hub_part(struct subscriber *subscriber)
{
    for (uint32_t i = 0; i < subscriber->member_count; ++i)
        remove_member(&subscriber->members[i]);
    if (!subscriber->joining)
        release_channels(subscriber);
    if (h2o_linklist_is_linked(&subscriber->link))
        h2o_linklist_unlink(&subscriber->link);
}

void hub_bury(struct subscriber *subscriber)
{
    if (subscriber->state != SUBSCRIBER_CLOSED || !subscriber->detached || subscriber->joining)
        return;
    struct hub *hub = subscriber->hub;
    if (h2o_linklist_is_linked(&subscriber->link))
        return;
    h2o_linklist_insert(&hub->graveyard, &subscriber->link);
}

static void reap(struct hub *hub)
{
    while (!h2o_linklist_is_empty(&hub->graveyard)) {
        struct subscriber *subscriber = H2O_STRUCT_FROM_MEMBER(struct subscriber, link, hub->graveyard.next);
        h2o_linklist_unlink(&subscriber->link);
        subscriber_free(subscriber);
    }
}

void hub_quicken(struct subscriber *subscriber)
{
    int fd = -1;
    if (subscriber->state == SUBSCRIBER_LIVE && !subscriber->busy && subscriber->queue.count == 0)
        fd = transport_direct_fd(subscriber);
    for (uint32_t i = 0; i < subscriber->member_count; ++i) {
        const struct member *member = &subscriber->members[i];
        if (member->index != MEMBER_OUT)
            member->channel->entries[member->index].fd = fd;
    }
}

uint64_t hub_active(const struct subscriber *subscriber)
{
    uint64_t active = subscriber->active_ms;
    if (subscriber->state == SUBSCRIBER_LIVE)
        for (uint32_t i = 0; i < subscriber->member_count; ++i)
            if (subscriber->members[i].channel->active_ms > active)
                active = subscriber->members[i].channel->active_ms;
    return active;
}

/* ---- what the bus tells ---- */

static void welcome(struct hub *hub, struct tell *tell)
{
    struct subscriber *subscriber = tell->welcome.subscriber;
    subscriber->joining = false;
    if (subscriber->state == SUBSCRIBER_CLOSED) {
        release_channels(subscriber);
        hub_bury(subscriber);
        return;
    }
    subscriber->state = SUBSCRIBER_LIVE;
    for (uint32_t i = 0; i < subscriber->member_count; ++i)
        add_member(&subscriber->members[i]);
    struct frame *first = welcome_frame(subscriber->welcome, tell->welcome.position, hub->options.retry_ms);
    if (first != NULL) {
        subscriber_replay(subscriber, &first, 1);
        frame_unref(first);
    }
    if (subscriber->state != SUBSCRIBER_CLOSED)
        subscriber_replay(subscriber, tell->welcome.frames, tell->welcome.count);
}

/* What send(2) did not take whole: the rest goes through the queue. */
static void spill(struct subscriber *subscriber, struct frame *frame, ssize_t sent)
{
    if (sent >= 0)
        subscriber_push_rest(subscriber, frame, (uint32_t)sent);
    else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ENOBUFS)
        subscriber_push(subscriber, frame);
    else
        subscriber_close(subscriber, errno == EPIPE || errno == ECONNRESET ? CLOSE_CLIENT : CLOSE_WRITE_ERROR);
}

/* Goes on with a fan-out for at most `budget` streams; true when all were served. */
static bool fan_out(struct hub_channel *channel, struct frame *frame, uint32_t *budget)
{
    struct slice chunk = frame_chunk(frame);
    uint32_t served = 0, direct = 0;
    for (; channel->cursor < channel->count && *budget != 0; --*budget, ++served) {
        struct entry *entry = &channel->entries[channel->cursor++];
        if (entry->fd < 0) {
            subscriber_push(entry->member->subscriber, frame);
            continue;
        }
        ssize_t sent = send(entry->fd, chunk.p, chunk.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent == (ssize_t)chunk.n)
            ++direct;
        else
            spill(entry->member->subscriber, frame, sent);
    }
    metric_add(COUNT_EVENTS_OUT, served);
    metric_add(COUNT_BYTES_OUT, (int64_t)direct * frame->body);
    if (channel->cursor < channel->count)
        return false;
    channel->cursor = 0;
    return true;
}

/* Serves one message; false when its fan-out ran out of budget and goes on later. */
static bool serve(struct hub *hub, struct tell *tell, uint32_t *budget)
{
    switch (tell->kind) {
    case TELL_EVENT:
        tell->event.channel->active_ms = hub_now(hub);
        return fan_out(tell->event.channel, tell->event.frame, budget);
    case TELL_WELCOME:
        welcome(hub, tell);
        break;
    case TELL_LEFT:
        --tell->left->leaves;
        free_if_unused(hub, tell->left);
        break;
    }
    if (*budget != 0)
        --*budget;
    return true;
}

bool hub_turn(struct hub *hub)
{
    uint32_t budget = SLICE_DELIVERIES;
    while (!h2o_linklist_is_empty(&hub->inbox) && budget != 0) {
        struct tell *tell = H2O_STRUCT_FROM_MEMBER(struct tell, super.link, hub->inbox.next);
        if (!serve(hub, tell, &budget))
            break;
        h2o_linklist_unlink(&tell->super.link);
        tell_free(tell);
    }
    reap(hub);
    return !h2o_linklist_is_empty(&hub->inbox);
}

static void on_tells(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    h2o_linklist_insert_list(&H2O_STRUCT_FROM_MEMBER(struct hub, tells, receiver)->inbox, messages);
}

struct hub *hub_create(const struct hub_options *options)
{
    struct hub *hub = h2o_mem_alloc(sizeof(*hub));
    *hub = (struct hub){.options = *options};
    h2o_linklist_init_anchor(&hub->inbox);
    h2o_linklist_init_anchor(&hub->graveyard);
    keepalive_init(&hub->keepalive, options->loop, options->keepalive_ms);
    h2o_multithread_register_receiver(options->queue, &hub->tells, on_tells);
    return hub;
}

h2o_multithread_receiver_t *hub_tells(struct hub *hub)
{
    return &hub->tells;
}

void hub_connect(struct hub *hub, h2o_multithread_receiver_t *asks)
{
    hub->asks = asks;
}
