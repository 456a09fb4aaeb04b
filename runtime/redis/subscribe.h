/* The set of channels this process listens to at one shard, on one subscriber connection. Restored after every reconnect, a part at a time, so that a
 * large set neither fills the connection nor hides that Redis answers. One loop's thread. */
#pragma once

#include "runtime/redis/redis.h"

struct subscribe;

/* A channel of the set: part of what wants to hear it. */
struct subscription {
    const struct subscription_events *events;
};

struct subscription_events {
    /* Redis confirmed: what is published to the channel from now on will arrive. Called again after each reconnect. */
    void (*on_subscribed)(struct subscription *subscription);
    /* A message, as published. The payload dies after the callback. */
    void (*on_message)(struct subscription *subscription, struct slice payload);
    /* Sharded pub/sub only: Redis has taken the channel away, since its slot left the shard. on_subscribed follows should it come back; else the channel is to be removed here and
     * added at its new shard. */
    void (*on_unsubscribed)(struct subscription *subscription);
    /* Redis refuses this one channel; `why` is static. It is asked for again after the next reconnect only. The callee may remove it. */
    void (*on_refused)(struct subscription *subscription, const char *why);
};

/* Of the connection. */
struct subscribe_events {
    /* Connected; subscriptions follow. May be NULL. */
    void (*on_ready)(void *data);
    /* The connection is gone: no channel is subscribed until its on_subscribed. */
    void (*on_lost)(void *data, const char *why);
    void *data;
};

/* Opens the connection; options->on_* and ->data are ignored, the rest as in redis.h. */
struct subscribe *subscribe_open(const struct redis_options *options, const struct subscribe_events *events);
void subscribe_close(struct subscribe *subscribe);

/* Adds a pub/sub channel, by its whole name, that is not in the set; the subscription outlives its being there. Works while disconnected: then it is sent once connected. */
void subscribe_add(struct subscribe *subscribe, struct slice name, struct subscription *subscription);

/* Takes it out; no event of it follows. Adding it again at once is right: only the confirmation of the newest add counts. */
void subscribe_remove(struct subscribe *subscribe, struct slice name);

/* Drops the connection as redis_drop() does. */
void subscribe_drop(struct subscribe *subscribe, const char *why);

bool subscribe_ready(const struct subscribe *subscribe);
const char *subscribe_why(const struct subscribe *subscribe);

/* Confirmations that Redis owes; 0 while it is not connected. */
size_t subscribe_under_way(const struct subscribe *subscribe);
