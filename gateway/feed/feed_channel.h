/* What feed.c and opening.c know of a channel. Bus thread only. */
#pragma once

#include "gateway/feed/uplink.h"
#include "gateway/messages.h"
#include "runtime/seeded_hash.h"

/* A channel that at least one worker listens to. */
struct feed_channel {
    struct feed *feed;
    struct channel *channel;
    struct subscription subscription;
    struct uplink *uplink; /* to its shard; NULL: none is known to have it */
    uint16_t slot;
    h2o_linklist_t waiting; /* openings, for this channel */
    const struct refusal *refused; /* why no stream can have it; NULL: streams can */
    uint32_t listeners;
    UT_hash_handle hh;
    struct hub_channel *locals[]; /* one a worker, NULL when it does not listen */
};
