#include "runtime/redis/subscribe.h"

#include <assert.h>
#include <stdlib.h>

#include "runtime/redis/pubsub_commands.h"
#include "runtime/redis/redis_error.h"
#include "runtime/redis/resp.h"
#include "runtime/redis/slot.h"
#include "runtime/seeded_hash.h"
#include "runtime/timer.h"

enum {
    BATCH_MAX = 500, /* channels in one command */
    AWAITED_MAX = 10 * BATCH_MAX, /* channels that Redis may owe confirmations for before more are sent */
    AGAIN_MS = 100, /* until a channel that was refused, or taken away, is asked for again */
};

enum member_state {
    MEMBER_OUT = 1,
    MEMBER_REMOVED, /* UNSUBSCRIBE is to be sent */
    MEMBER_ADDED, /* from here on it is in the set; SUBSCRIBE is to be sent */
    MEMBER_ADDED_AGAIN, /* … though it was sent before: Redis confirms it again, and that is the confirmation the new add waits for */
    MEMBER_SENT, /* SUBSCRIBE */
    MEMBER_REFUSED, /* it was no use */
};

/* Added to the set; removed; the command that is due is sent; Redis does not have it, or no longer; Redis refuses it. */
enum move { ADD, REMOVE, SEND, FORGET, REFUSE };

/* A channel that is in the set, or that Redis still owes a confirmation for. */
struct member {
    UT_hash_handle hh;
    h2o_linklist_t changed; /* linked, in one of the two lists: the set and what was sent to Redis may differ */
    struct subscription *subscription; /* while it is in the set */
    enum member_state state;
    unsigned awaited; /* confirmations of SUBSCRIBE to come; at 0 the newest add is confirmed */
    uint16_t slot; /* 0 where slots don't matter */
    size_t name_len;
    char name[]; /* "sse:NAME" */
};

/* A SUBSCRIBE that was not answered yet. */
struct batch {
    h2o_linklist_t link;
    size_t left, count; /* confirmations to come; channels */
    struct member *members[]; /* each awaits this one, so none goes before its answer */
};

struct subscribe {
    struct subscribe_events events;
    const struct pubsub_commands *words;
    struct redis *redis;
    struct member *members; /* by name */
    size_t awaited; /* confirmations to come */
    h2o_linklist_t changed;
    h2o_linklist_t refused; /* to be sent again when `again` says */
    h2o_linklist_t batches; /* oldest first */
    struct timer flush; /* changes of one turn leave together */
    struct timer again;
};

static void move(struct member *member, enum move what)
{
    static const uint8_t next[][REFUSE + 1] = {
        [MEMBER_OUT] = {[ADD] = MEMBER_ADDED, [FORGET] = MEMBER_OUT},
        [MEMBER_REMOVED] = {[ADD] = MEMBER_ADDED_AGAIN, [SEND] = MEMBER_OUT, [FORGET] = MEMBER_OUT},
        [MEMBER_ADDED] = {[REMOVE] = MEMBER_OUT, [SEND] = MEMBER_SENT, [FORGET] = MEMBER_ADDED},
        [MEMBER_ADDED_AGAIN] = {[REMOVE] = MEMBER_REMOVED, [SEND] = MEMBER_SENT, [FORGET] = MEMBER_ADDED},
        [MEMBER_SENT] = {[REMOVE] = MEMBER_REMOVED, [FORGET] = MEMBER_ADDED, [REFUSE] = MEMBER_REFUSED},
        [MEMBER_REFUSED] = {[REMOVE] = MEMBER_OUT, [FORGET] = MEMBER_ADDED},
    };
    assert(next[member->state][what] != 0);
    member->state = next[member->state][what];
}

/* What was sent for it last, SUBSCRIBE, is answered. */
static bool is_answered(const struct member *member)
{
    return member->state == MEMBER_SENT && member->awaited == 0;
}

static struct member *find(struct subscribe *subscribe, struct slice name)
{
    struct member *member;
    HASH_FIND(hh, subscribe->members, name.p, name.n, member);
    return member;
}

static struct member *make(struct subscribe *subscribe, struct slice name)
{
    struct member *member = h2o_mem_alloc(sizeof(*member) + name.n);
    *member = (struct member){.state = MEMBER_OUT, .name_len = name.n, .slot = subscribe->words->sharded ? slot_of(name) : 0};
    memcpy(member->name, name.p, name.n);
    HASH_ADD_KEYPTR(hh, subscribe->members, member->name, member->name_len, member);
    return member;
}

static void release_if_done(struct subscribe *subscribe, struct member *member)
{
    if (member->state >= MEMBER_ADDED || member->awaited != 0 || h2o_linklist_is_linked(&member->changed))
        return;
    assert(subscribe->members != NULL); /* it is one of them */
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

/* What waits for room goes on when half of it is free again. */
static void flush_if_room(struct subscribe *subscribe)
{
    if (!h2o_linklist_is_empty(&subscribe->changed) && subscribe->awaited <= AWAITED_MAX / 2 && !timer_running(&subscribe->flush))
        timer_start(&subscribe->flush, 0);
}

/* ---- the set to Redis ---- */

static void send_subscribe(struct subscribe *subscribe, const struct slice *argv, struct member *const *members, size_t count)
{
    struct batch *batch = h2o_mem_alloc(sizeof(*batch) + count * sizeof(struct member *));
    *batch = (struct batch){.left = count, .count = count};
    memcpy(batch->members, members, count * sizeof(struct member *));
    h2o_linklist_insert(&subscribe->batches, &batch->link);
    for (size_t i = 0; i < count; ++i)
        ++members[i]->awaited;
    subscribe->awaited += count;
    if (!redis_push_command(subscribe->redis, argv, 1 + count))
        redis_drop(subscribe->redis, "too many bytes are waiting to be sent to Redis");
}

static void send_unsubscribe(struct subscribe *subscribe, const struct slice *argv, size_t count)
{
    bool queued = subscribe->words->sharded ? redis_push_loose(subscribe->redis, argv, 1 + count)
                                            : redis_push_command(subscribe->redis, argv, 1 + count);
    if (!queued)
        redis_drop(subscribe->redis, "too many bytes are waiting to be sent to Redis");
}

static int compare_slots(const void *a, const void *b)
{
    return (*(struct member *const *)a)->slot - (*(struct member *const *)b)->slot;
}

/* One command for channels of one slot. */
static void send_all(struct subscribe *subscribe, bool add, struct member **members, size_t count)
{
    struct slice argv[1 + BATCH_MAX] = {add ? subscribe->words->subscribe : subscribe->words->unsubscribe};
    size_t first = 0;
    if (subscribe->words->sharded)
        qsort(members, count, sizeof(*members), compare_slots);
    for (size_t i = 0; i < count; ++i) {
        argv[1 + i - first] = slice_make(members[i]->name, members[i]->name_len);
        size_t n = i + 1 - first;
        if (n != BATCH_MAX && i + 1 != count && members[i + 1]->slot == members[i]->slot)
            continue;
        if (add)
            send_subscribe(subscribe, argv, members + first, n);
        else
            send_unsubscribe(subscribe, argv, n);
        first = i + 1;
    }
}

/* What one flush sends. */
struct changes {
    h2o_linklist_t done; /* they are what Redis was told, from now on */
    size_t adds, removes;
    struct member *members[AWAITED_MAX]; /* adds from the front, removes from the back */
};

/* Takes the oldest changes, until there is no room for another add. */
static void take_changes(struct subscribe *subscribe, struct changes *changes)
{
    changes->adds = changes->removes = 0;
    h2o_linklist_init_anchor(&changes->done);
    while (!h2o_linklist_is_empty(&subscribe->changed) && changes->adds + changes->removes < AWAITED_MAX &&
           subscribe->awaited + changes->adds < AWAITED_MAX) {
        struct member *member = H2O_STRUCT_FROM_MEMBER(struct member, changed, subscribe->changed.next);
        if (member->state == MEMBER_ADDED || member->state == MEMBER_ADDED_AGAIN) {
            move(member, SEND);
            changes->members[changes->adds++] = member;
        } else if (member->state == MEMBER_REMOVED) {
            move(member, SEND);
            changes->members[AWAITED_MAX - ++changes->removes] = member;
        }
        h2o_linklist_unlink(&member->changed);
        h2o_linklist_insert(&changes->done, &member->changed);
    }
}

/* Each channel is in one of the two kinds of command at most, so their order doesn't matter. */
static void send_changes(struct subscribe *subscribe)
{
    struct changes *changes = h2o_mem_alloc(sizeof(*changes));
    take_changes(subscribe, changes);
    send_all(subscribe, true, changes->members, changes->adds);
    send_all(subscribe, false, changes->members + AWAITED_MAX - changes->removes, changes->removes);
    while (!h2o_linklist_is_empty(&changes->done)) {
        struct member *member = H2O_STRUCT_FROM_MEMBER(struct member, changed, list_take(&changes->done));
        release_if_done(subscribe, member);
    }
    free(changes);
    flush_if_room(subscribe);
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
        struct member *member = H2O_STRUCT_FROM_MEMBER(struct member, changed, list_take(&subscribe->changed));
        release_if_done(subscribe, member);
    }
}

static void on_again(void *data)
{
    struct subscribe *subscribe = data;
    h2o_linklist_insert_list(&subscribe->changed, &subscribe->refused);
    on_flush(subscribe);
}

/* Not subscribed any more, or not yet: it is asked for again, unless it is removed first. */
static void send_again(struct subscribe *subscribe, struct member *member)
{
    bool was_sent = member->state >= MEMBER_SENT;
    move(member, FORGET);
    if (!was_sent) {
        release_if_done(subscribe, member);
        return;
    }
    if (!h2o_linklist_is_linked(&member->changed))
        h2o_linklist_insert(&subscribe->refused, &member->changed);
    if (!timer_running(&subscribe->again))
        timer_start(&subscribe->again, AGAIN_MS);
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
        mark_changed(subscribe, member);
    }
    send_changes(subscribe);
    if (subscribe->awaited == 0)
        redis_proven(subscribe->redis);
}

static void take_batch(struct subscribe *subscribe)
{
    free(H2O_STRUCT_FROM_MEMBER(struct batch, link, list_take(&subscribe->batches)));
}

static void on_lost(void *data, const char *why)
{
    struct subscribe *subscribe = data;
    struct member *member, *next;
    while (!h2o_linklist_is_empty(&subscribe->batches))
        take_batch(subscribe);
    HASH_ITER(hh, subscribe->members, member, next)
    {
        move(member, FORGET);
        member->awaited = 0;
        release_if_done(subscribe, member);
    }
    subscribe->awaited = 0;
    subscribe->events.on_lost(subscribe->events.data, why);
}

/* Between an add and its confirmation a message can only be left from before: it is not delivered. */
static void on_message(struct subscribe *subscribe, struct slice name, struct slice payload)
{
    struct member *member = find(subscribe, name);
    if (member != NULL && is_answered(member))
        member->subscription->events->on_message(member->subscription, payload);
}

static struct batch *oldest_batch(struct subscribe *subscribe)
{
    return h2o_linklist_is_empty(&subscribe->batches) ? NULL : H2O_STRUCT_FROM_MEMBER(struct batch, link, subscribe->batches.next);
}

/* One of the confirmations that Redis owed for it came, or never will. */
static void answered(struct subscribe *subscribe, struct member *member)
{
    --member->awaited;
    --subscribe->awaited;
    flush_if_room(subscribe);
}

/* They come in the order of the command. */
static void on_confirmation(struct subscribe *subscribe, struct slice name)
{
    struct batch *batch = oldest_batch(subscribe);
    struct member *member = batch == NULL ? NULL : batch->members[batch->count - batch->left];
    if (member == NULL || !slice_eq(slice_make(member->name, member->name_len), name)) {
        redis_drop(subscribe->redis, "Redis confirmed a subscription that was not asked for");
        return;
    }
    if (--batch->left == 0)
        take_batch(subscribe);
    answered(subscribe, member);
    redis_proven(subscribe->redis);
    if (is_answered(member))
        member->subscription->events->on_subscribed(member->subscription);
    else
        release_if_done(subscribe, member);
}

/* Of one that we left, or of one whose slot left the shard. What was sent for it since decides, where something was. */
static void on_taken(struct subscribe *subscribe, struct slice name)
{
    struct member *member = find(subscribe, name);
    if (member == NULL || member->state < MEMBER_SENT || member->awaited != 0)
        return;
    send_again(subscribe, member);
    redis_doubt(subscribe->redis);
    member->subscription->events->on_unsubscribed(member->subscription);
}

/* The oldest SUBSCRIBE did nothing: the slot is elsewhere, or the shard can't serve it now. */
static void on_elsewhere(struct subscribe *subscribe)
{
    struct batch *batch = oldest_batch(subscribe);
    for (size_t i = batch->count - batch->left; i < batch->count; ++i) {
        answered(subscribe, batch->members[i]);
        if (batch->members[i]->awaited == 0)
            send_again(subscribe, batch->members[i]);
    }
    take_batch(subscribe);
    redis_doubt(subscribe->redis);
}

/* Sends again, in two commands, the channels of a refused one that are still to be subscribed. */
static void halve(struct subscribe *subscribe, struct batch *batch)
{
    struct slice argv[1 + BATCH_MAX] = {subscribe->words->subscribe};
    size_t left = 0;
    for (size_t i = 0; i < batch->count; ++i) {
        struct member *member = batch->members[i];
        if (is_answered(member))
            batch->members[left++] = member;
        else
            release_if_done(subscribe, member);
    }
    for (size_t first = 0, n = (left + 1) / 2; first < left; first += n, n = left - first) {
        for (size_t i = 0; i < n; ++i)
            argv[1 + i] = slice_make(batch->members[first + i]->name, batch->members[first + i]->name_len);
        send_subscribe(subscribe, argv, batch->members + first, n);
    }
}

/* Redis refuses a whole SUBSCRIBE for one channel that the user has no right to, without a word which: it is found by halving, and the others are subscribed. */
static void on_refused(struct subscribe *subscribe)
{
    struct batch *batch = oldest_batch(subscribe);
    h2o_linklist_unlink(&batch->link);
    for (size_t i = 0; i < batch->count; ++i)
        answered(subscribe, batch->members[i]);
    struct member *member = batch->members[0];
    if (batch->count != 1) {
        halve(subscribe, batch);
    } else if (is_answered(member)) {
        move(member, REFUSE);
        member->subscription->events->on_refused(member->subscription, "the Redis user may not subscribe to this channel");
    } else {
        release_if_done(subscribe, member);
    }
    free(batch);
}

static void on_error(struct subscribe *subscribe, const redisReply *reply)
{
    struct batch *batch = oldest_batch(subscribe);
    const char *down = redis_error_down(reply);
    if (batch != NULL && batch->left == batch->count && redis_error_is(reply, "NOPERM "))
        on_refused(subscribe);
    else if (batch != NULL && subscribe->words->sharded && down != NULL)
        on_elsewhere(subscribe);
    else
        redis_drop(subscribe->redis, down != NULL ? down : "Redis refused to subscribe");
}

static void on_push(void *data, const redisReply *reply)
{
    struct subscribe *subscribe = data;
    const struct pubsub_commands *words = subscribe->words;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        on_error(subscribe, reply);
        return;
    }
    struct slice kind = resp_text(reply->element[0]), name = resp_text(reply->element[1]);
    if (slice_eq(kind, words->message))
        on_message(subscribe, name, resp_text(reply->element[2]));
    else if (slice_eq(kind, words->subscribed))
        on_confirmation(subscribe, name);
    else if (words->sharded && slice_eq(kind, words->unsubscribed))
        on_taken(subscribe, name);
}

/* ---- interface ---- */

struct subscribe *subscribe_open(const struct redis_options *options, const struct subscribe_events *events)
{
    struct subscribe *subscribe = h2o_mem_alloc(sizeof(*subscribe));
    *subscribe = (struct subscribe){.events = *events, .words = pubsub_commands(options->url)};
    h2o_linklist_init_anchor(&subscribe->changed);
    h2o_linklist_init_anchor(&subscribe->refused);
    h2o_linklist_init_anchor(&subscribe->batches);
    timer_init(&subscribe->flush, options->loop, on_flush, subscribe);
    timer_init(&subscribe->again, options->loop, on_again, subscribe);
    struct redis_options own = *options;
    own.proven_later = true; /* by the first confirmation, unless there is nothing to confirm */
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
    while (!h2o_linklist_is_empty(&subscribe->batches))
        take_batch(subscribe);
    timer_dispose(&subscribe->flush);
    timer_dispose(&subscribe->again);
    HASH_ITER(hh, subscribe->members, member, next)
    {
        HASH_DEL(subscribe->members, member);
        free(member);
    }
    free(subscribe);
}

void subscribe_add(struct subscribe *subscribe, struct slice name, struct subscription *subscription)
{
    struct member *member = find(subscribe, name);
    if (member == NULL)
        member = make(subscribe, name);
    move(member, ADD);
    member->subscription = subscription;
    mark_changed(subscribe, member);
}

void subscribe_remove(struct subscribe *subscribe, struct slice name)
{
    struct member *member = find(subscribe, name);
    assert(member != NULL);
    move(member, REMOVE);
    member->subscription = NULL;
    mark_changed(subscribe, member);
}

void subscribe_drop(struct subscribe *subscribe, const char *why)
{
    redis_drop(subscribe->redis, why);
}

bool subscribe_ready(const struct subscribe *subscribe)
{
    return redis_ready(subscribe->redis);
}

const char *subscribe_why(const struct subscribe *subscribe)
{
    return redis_why(subscribe->redis);
}

size_t subscribe_under_way(const struct subscribe *subscribe)
{
    return subscribe->awaited;
}
