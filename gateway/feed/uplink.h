/* The gateway's ends of the shards: to each a command connection, a subscriber connection and a canary, and what its clock says. Bus thread only. */
#pragma once

#include "gateway/feed/canary.h"
#include "gateway/feed/link_watch.h"
#include "gateway/feed/channel_view.h"

struct uplink {
    struct uplinks *uplinks;
    struct shard *at;
    struct channel_shard shard; /* its command connection and its clock */
    struct clock_steps steps, doubts;
    struct leases leases;
    bool moved; /* its commands go to another node, whose clock was not read yet */
    uint64_t clock_asked_ms; /* monotonic_ms() when the first of the answers that are to come was asked for */
    uint32_t clock_asked; /* how many that are */
    struct subscribe *subscribe;
    struct canary *canary;
    struct link_watch *watch; /* NULL: the subscriber connection is to the primary */
    struct uplink *next;
};

struct uplinks_options {
    h2o_loop_t *loop;
    h2o_multithread_receiver_t *getaddr; /* see struct redis_options */
    const struct redis_url *url; /* borrowed */
    uint64_t redis_timeout_ms;
    struct read_preference_weights weights; /* see read_preference.h; of a cluster */
    /* The subscriber connection is lost: no channel of this uplink is subscribed until its on_subscribed. */
    void (*on_subscriber_lost)(void *data, struct uplink *uplink);
    /* Messages may have been lost on their way to the replica that it listens at. */
    void (*on_doubt)(void *data, struct uplink *uplink);
    /* A command connection is back: what could not be read may be tried again. */
    void (*on_commands)(void *data);
    /* A connection is ready, or lost: see uplinks_ready(). */
    void (*on_change)(void *data);
    /* Channels may have another uplink, or none: see uplinks_of(). The one they had may go after this. */
    void (*on_moved)(void *data);
    /* The clock of a shard was read: every second or so. */
    void (*on_clock)(void *data);
    void *data;
};

struct uplinks *uplinks_open(const struct uplinks_options *options);

/* The first of all, which lead to each other; NULL: there is none. */
struct uplink *uplinks_first(const struct uplinks *uplinks);

/* The uplink to the shard of this slot; NULL: none is known to have it. */
struct uplink *uplinks_of(const struct uplinks *uplinks, uint16_t slot);

/* Whether all connections are ready, and all slots have a shard. */
bool uplinks_ready(const struct uplinks *uplinks);

/* The most channels that one of the shards which are up owes confirmations for. */
size_t uplinks_under_way(const struct uplinks *uplinks);

/* NULL while they are and messages come back; else why not, valid until the next turn. */
const char *uplinks_why(struct uplinks *uplinks);

/* Subscribes to a channel, or to a name of the bus's own, at this shard. See subscribe_add(), subscribe_remove(). */
void uplink_subscribe(struct uplink *uplink, struct slice channel, struct subscription *subscription);
void uplink_unsubscribe(struct uplink *uplink, struct slice channel);

/* Whether what was published at this one until `now_us` (monotonic_us()) less the margin has come. */
bool uplink_settled(const struct uplink *uplink, uint64_t now_us);

/* Whether all that was published at this one before `since_us` (monotonic_us()) has come. */
bool uplink_heard(const struct uplink *uplink, uint64_t since_us);

/* Whether what was published at any shard until `now_us` (monotonic_us()) less the margin has come. Always, where there is but one: its own events tell. */
bool uplinks_settled(const struct uplinks *uplinks, uint64_t now_us);

/* See struct channel_shared. It grows with the difference of the shards' clocks. */
uint64_t uplinks_margin_ms(const struct uplinks *uplinks);

/* Plain PUBLISH or SPUBLISH, as the bus is; lost while the channel's shard is away. */
void uplinks_publish(struct uplinks *uplinks, struct slice channel, struct slice text);
