#include "proto/bus/subscribe.h"

#include <stdlib.h>

#include "proto/bus/redis_error.h"
#include "proto/channel.h"
#include "runtime/seeded_hash.h"
#include "runtime/timer.h"

enum { BATCH_MAX = 500 }; /* channels in one command */

/* A channel that is in the set, or that Redis still owes a confirmation for. */
struct member {
    UT_hash_handle hh;
    h2o_linklist_t changed; /* linked: the set and what was sent to Redis may differ */
    void *tag;
    bool wanted; /* in the set */
    bool added; /* … since SUBSCRIBE was last sent for it */
    bool sent; /* the last command sent for it on this connection was SUBSCRIBE */
    unsigned awaited; /* confirmations of SUBSCRIBE to come; at 0 the newest add is confirmed */
    size_t name_len;
    char name[]; /* "sse:NAME" */
};

struct subscribe {
    struct subscribe_events events;
    struct redis *redis;
    struct member *members; /* by name */
    size_t wanted;
    h2o_linklist_t changed;
    struct timer flush; /* changes of one turn leave together */
};

static struct member *find(struct subscribe *subscribe, struct slice name)
{
    struct member *member;
    HASH_FIND(hh, subscribe->members, name.p, name.n, member);
    return member;
}

static struct member *make(struct subscribe *subscribe, struct slice name)
{
    struct member *member = h2o_mem_alloc(sizeof(*member) + name.n);
    *member = (struct member){.name_len = name.n};
    memcpy(member->name, name.p, name.n);
    HASH_ADD_KEYPTR(hh, subscribe->members, member->name, member->name_len, member);
    return member;
}

static void release_if_done(struct subscribe *subscribe, struct member *member)
{
    if (member->wanted || member->awaited != 0 || h2o_linklist_is_linked(&member->changed))
        return;
    HASH_DEL(subscribe->members, member);
    free(member);
}

static void mark_changed(struct subscribe *subscribe, struct member *member)
{
    if (!h2o_linklist_is_linked(&member->changed))
        h2o_linklist_insert(&subscribe->changed, &member->changed);
    if (!timer_running(&subscribe->flush))
        timer_start(&subscribe->flush, 0);
}

/* ---- the set to Redis ---- */

struct batch {
    struct slice argv[1 + BATCH_MAX];
    size_t argc;
};

static void send_batch(struct subscribe *subscribe, struct batch *batch)
{
    if (batch->argc > 1 && !redis_push_command(subscribe->redis, batch->argv, batch->argc))
        redis_drop(subscribe->redis, "too much waits to be sent to Redis");
    batch->argc = 1;
}

static void add_to_batch(struct subscribe *subscribe, struct batch *batch, const struct member *member)
{
    batch->argv[batch->argc++] = slice_make(member->name, member->name_len);
    if (batch->argc == 1 + BATCH_MAX)
        send_batch(subscribe, batch);
}

/* Each channel is in one of the two batches at most, so their order doesn't matter. Being added sends SUBSCRIBE even where one was sent
 * before: Redis confirms it again, and that is the confirmation the new add waits for. */
static void send_changes(struct subscribe *subscribe)
{
    struct batch subscribes = {{SLICE("SUBSCRIBE")}, 1}, unsubscribes = {{SLICE("UNSUBSCRIBE")}, 1};
    h2o_linklist_t done;
    h2o_linklist_init_anchor(&done);
    h2o_linklist_insert_list(&done, &subscribe->changed);
    for (h2o_linklist_t *node = done.next; node != &done; node = node->next) {
        struct member *member = H2O_STRUCT_FROM_MEMBER(struct member, changed, node);
        if (member->wanted && member->added) {
            member->added = false;
            member->sent = true;
            ++member->awaited;
            add_to_batch(subscribe, &subscribes, member);
        } else if (!member->wanted && member->sent) {
            member->sent = false;
            add_to_batch(subscribe, &unsubscribes, member);
        }
    }
    send_batch(subscribe, &subscribes);
    send_batch(subscribe, &unsubscribes);
    while (!h2o_linklist_is_empty(&done)) {
        struct member *member = H2O_STRUCT_FROM_MEMBER(struct member, changed, done.next);
        h2o_linklist_unlink(&member->changed);
        release_if_done(subscribe, member);
    }
}

/* While disconnected only the members that nobody wants go; the others wait for on_ready(). */
static void on_flush(void *data)
{
    struct subscribe *subscribe = data;
    if (redis_ready(subscribe->redis)) {
        send_changes(subscribe);
        return;
    }
    while (!h2o_linklist_is_empty(&subscribe->changed)) {
        struct member *member = H2O_STRUCT_FROM_MEMBER(struct member, changed, subscribe->changed.next);
        h2o_linklist_unlink(&member->changed);
        release_if_done(subscribe, member);
    }
}

/* ---- Redis to the set ---- */

static void on_ready(void *data)
{
    struct subscribe *subscribe = data;
    struct member *member, *next;
    if (subscribe->events.on_ready != NULL)
        subscribe->events.on_ready(subscribe->events.data);
    HASH_ITER(hh, subscribe->members, member, next)
    {
        member->added = member->wanted;
        mark_changed(subscribe, member);
    }
    send_changes(subscribe);
}

static void on_lost(void *data, const char *why)
{
    struct subscribe *subscribe = data;
    struct member *member, *next;
    HASH_ITER(hh, subscribe->members, member, next)
    {
        member->sent = false;
        member->awaited = 0;
        release_if_done(subscribe, member);
    }
    subscribe->events.on_lost(subscribe->events.data, why);
}

/* Between an add and its confirmation a message can only be left from before: it is not delivered. */
static void on_message(struct subscribe *subscribe, struct slice name, struct slice payload)
{
    struct member *member = find(subscribe, name);
    if (member != NULL && member->wanted && !member->added && member->awaited == 0)
        subscribe->events.on_message(subscribe->events.data, member->tag, payload);
}

static void on_confirmation(struct subscribe *subscribe, struct slice name)
{
    struct member *member = find(subscribe, name);
    if (member == NULL || member->awaited == 0)
        return;
    --member->awaited;
    if (member->awaited == 0 && member->wanted && !member->added)
        subscribe->events.on_subscribed(subscribe->events.data, member->tag);
    else
        release_if_done(subscribe, member);
}

static struct slice text_of(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? slice_make(reply->str, reply->len) : (struct slice){NULL, 0};
}

static void on_push(void *data, const redisReply *reply)
{
    struct subscribe *subscribe = data;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        const char *down = redis_error_down(reply);
        redis_drop(subscribe->redis, down != NULL                       ? down
                                     : redis_error_is(reply, "NOPERM ") ? "the Redis user may not subscribe to the channels sse:*"
                                                                        : "Redis refused to subscribe");
        return;
    }
    struct slice kind = text_of(reply->element[0]), name = text_of(reply->element[1]);
    if (slice_eq(kind, SLICE("message")))
        on_message(subscribe, name, text_of(reply->element[2]));
    else if (slice_eq(kind, SLICE("subscribe")))
        on_confirmation(subscribe, name);
}

/* ---- interface ---- */

struct subscribe *subscribe_open(const struct redis_options *options, const struct subscribe_events *events)
{
    struct subscribe *subscribe = h2o_mem_alloc(sizeof(*subscribe));
    *subscribe = (struct subscribe){.events = *events};
    h2o_linklist_init_anchor(&subscribe->changed);
    timer_init(&subscribe->flush, options->loop, on_flush, subscribe);
    struct redis_options own = *options;
    own.on_ready = on_ready;
    own.on_lost = on_lost;
    own.on_push = on_push;
    own.data = subscribe;
    subscribe->redis = redis_open(&own);
    return subscribe;
}

void subscribe_close(struct subscribe *subscribe)
{
    struct member *member, *next;
    redis_close(subscribe->redis);
    timer_dispose(&subscribe->flush);
    HASH_ITER(hh, subscribe->members, member, next)
    {
        HASH_DEL(subscribe->members, member);
        free(member);
    }
    free(subscribe);
}

void subscribe_add(struct subscribe *subscribe, struct slice channel, void *tag)
{
    char name[CHANNEL_KEY_MAX];
    struct slice key = slice_make(name, channel_pubsub(name, channel));
    struct member *member = find(subscribe, key);
    if (member == NULL)
        member = make(subscribe, key);
    assert(!member->wanted);
    member->wanted = member->added = true;
    member->tag = tag;
    ++subscribe->wanted;
    mark_changed(subscribe, member);
}

void subscribe_remove(struct subscribe *subscribe, struct slice channel)
{
    char name[CHANNEL_KEY_MAX];
    struct member *member = find(subscribe, slice_make(name, channel_pubsub(name, channel)));
    assert(member != NULL && member->wanted);
    member->wanted = member->added = false;
    member->tag = NULL;
    --subscribe->wanted;
    mark_changed(subscribe, member);
}

bool subscribe_ready(const struct subscribe *subscribe)
{
    return redis_ready(subscribe->redis);
}

const char *subscribe_why(const struct subscribe *subscribe)
{
    return redis_why(subscribe->redis);
}

size_t subscribe_count(const struct subscribe *subscribe)
{
    return subscribe->wanted;
}

void subscribe_drop(struct subscribe *subscribe, const char *why)
{
    redis_drop(subscribe->redis, why);
}
