/* The channels that a worker's streams listen to, or have asked for, and what the feed knows of them. Worker thread only; the bus thread reads no more than the name. */
#pragma once

#include "gateway/stream/batch.h"
#include "gateway/stream/fanout.h"
#include "runtime/seeded_hash.h"

struct hub_channel {
    struct fanout fanout; /* of the streams that get each frame as it came; the others follow by its `next` */
    struct batch batch;
    uint32_t refs; /* members, and streams whose join is not answered */
    uint32_t leaves; /* REQUEST_LEAVE not yet answered */
    bool listened; /* the feed listens to it, so it has to be told when no stream does */
    bool closed; /* see hub_judge() */
    uint64_t ended_ms; /* milliseconds of its end's position; 0: it goes on */
    UT_hash_handle hh;
    size_t name_len;
    char name[];
};

/* `channels` is a uthash by name. */
struct hub_channel *hub_channel_find(struct hub_channel *channels, struct slice name);
struct hub_channel *hub_channel_find_or_create(struct hub_channel **channels, struct slice name);

/* The fan-out for streams of this variant; lives as long as the channel. */
struct fanout *hub_channel_fanout(struct hub_channel *channel, struct variant variant);

/* Whether streams of several channels listen to it. */
bool hub_channel_is_shared(const struct hub_channel *channel);

static inline struct slice hub_channel_name(const struct hub_channel *channel)
{
    return slice_make(channel->name, channel->name_len);
}

/* Takes out one stream, for which the feed listened or not. True when it was the last one and the feed has to stop listening: then the channel is freed with the feed's answer. */
bool hub_channel_release(struct hub_channel **channels, struct hub_channel *channel, bool listened);

/* The feed has answered that. */
void hub_channel_left(struct hub_channel **channels, struct hub_channel *channel);
