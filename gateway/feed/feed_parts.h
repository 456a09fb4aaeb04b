/* What feed.c and opening.c share of the feed; nobody else includes it. Bus thread only. */
#pragma once

#include <stdatomic.h>

#include "gateway/feed/feed.h"
#include "gateway/feed/gate.h"
#include "gateway/feed/uplink.h"
#include "gateway/outbox.h"
#include "runtime/seeded_hash.h"
#include "runtime/timer.h"

/* A stream on its way to live. Goes with its ask. */
struct opening {
    struct feed *feed;
    struct ask *ask;
    h2o_linklist_t link; /* in the list where it waits for a channel or a retry */
    uint32_t barriers; /* that it waits for: one at each shard that has a channel of its */
    struct canary_wait waits[]; /* one a channel, at most */
};

/* A channel that at least one worker listens to. */
struct feed_channel {
    struct feed *feed;
    struct channel *channel;
    struct subscription subscription;
    struct uplink *uplink; /* to its shard; NULL: none is known to have it */
    uint16_t slot;
    h2o_linklist_t waiting; /* openings, for this channel */
    const struct refusal *refused; /* no stream can have it; NULL: none was told so */
    uint32_t listeners;
    UT_hash_handle hh;
    struct hub_channel *locals[]; /* one a worker, NULL when it does not listen */
};

struct feed {
    struct feed_options options;
    h2o_multithread_receiver_t asks;
    h2o_linklist_t inbox; /* struct ask, in order: what feed_take_asks() has not taken yet */
    struct outbox *outboxes; /* one a worker */
    struct uplinks *uplinks;
    struct ring_memory memory;
    struct page_budget pages;
    struct channel_shared shared;
    struct feed_channel *channels; /* uthash by name */
    size_t refused; /* of them */
    struct gate *gate;
    atomic_size_t spoken_for; /* channels there are, and new ones that wait at the gate */
    atomic_size_t promised; /* new ones of asks that are on their way here */
    bool hears_nodes;
    struct uplink *nodes; /* where ANNOUNCE_CHANNEL is subscribed; NULL: nowhere */
    struct subscription nodes_subscription;
    h2o_linklist_t turns; /* openings that wait for room for their pages */
    bool giving_turns;
    h2o_linklist_t retrying; /* openings whose read failed */
    struct timer retry;
    uint64_t retry_ms; /* the next wait */
    atomic_bool behind; /* the inbox was not emptied */
    atomic_bool usable; /* the same, for all threads: answers come at once */
};

/* NULL: nobody listens to it. */
struct feed_channel *feed_find(struct feed *feed, struct slice name);

void feed_tell(struct feed *feed, uint32_t worker, struct tell message);

/* Tries again soon what could not be read, and each time later while nothing succeeds. */
void feed_retry_soon(struct feed *feed);
