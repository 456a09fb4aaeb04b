/* The gateway's ends of the shards: to each a command connection, a subscriber connection and a canary, and what its clock says. Bus thread only. */
#pragma once

#include "gateway/canary.h"
#include "gateway/link_watch.h"
#include "gateway/source.h"

struct trunk {
    struct trunks *trunks;
    struct shard *at;
    struct source_shard shard; /* its command connection and its clock */
    struct clock_steps steps;
    uint64_t clock_asked_ms; /* monotonic_ms() when the first of the answers that are to come was asked for */
    uint32_t clock_asked; /* how many that are */
    struct subscribe *subscribe;
    struct canary *canary;
    struct link_watch *watch; /* NULL: the subscriber connection is to the primary */
    char came[24]; /* what the canary said, until the watch has been asked; "": nothing */
    struct trunk *next;
};

struct trunks_options {
    h2o_loop_t *loop;
    h2o_multithread_receiver_t *getaddr; /* see struct redis_options */
    const struct redis_url *url; /* borrowed */
    uint64_t redis_timeout_ms;
    struct reading_weights weights; /* see reading.h; of a cluster */
    /* See subscribe.h; not for the canaries' tags. */
    void (*on_subscribed)(void *data, void *tag);
    void (*on_message)(void *data, void *tag, struct slice payload);
    void (*on_unsubscribed)(void *data, void *tag);
    void (*on_refused)(void *data, void *tag, const char *why);
    void (*on_subscriber_lost)(void *data, struct trunk *trunk);
    /* Messages may have been lost on their way to the replica that it listens at. */
    void (*on_doubt)(void *data, struct trunk *trunk);
    /* A command connection is back: what could not be read may be tried again. */
    void (*on_commands)(void *data);
    /* A connection is ready, or lost: see trunks_ready(). */
    void (*on_change)(void *data);
    /* Channels may have another trunk, or none: see trunks_of(). The one they had may go after this. */
    void (*on_moved)(void *data);
    /* The clocks were read anew, and what is proven is known: every second or so. */
    void (*on_beat)(void *data);
    void *data;
};

struct trunks *trunks_open(const struct trunks_options *options);

/* The trunk to the shard of this slot; NULL: none is known to have it. */
struct trunk *trunks_of(const struct trunks *trunks, uint16_t slot);

/* Whether all connections are ready, and all slots have a shard. */
bool trunks_ready(const struct trunks *trunks);

/* The most channels that one of the shards which are up owes confirmations for. */
size_t trunks_under_way(const struct trunks *trunks);

/* NULL while they are and messages come back; else why not, valid until the next turn. */
const char *trunks_why(struct trunks *trunks);

/* Whether what was published at this one until `now_us` (monotonic_us()) less the margin has come. */
bool trunk_settled(const struct trunk *trunk, uint64_t now_us);

/* Whether what was published at any shard until `now_us` (monotonic_us()) less the margin has come. Always, where there is but one: its own events tell. */
bool trunks_settled(const struct trunks *trunks, uint64_t now_us);

/* See struct source_shared. It grows with the difference of the shards' clocks. */
uint64_t trunks_margin_ms(const struct trunks *trunks);

/* Plain PUBLISH or SPUBLISH, as the bus is; lost while the channel's shard is away. */
void trunks_publish(struct trunks *trunks, struct slice channel, struct slice text);
