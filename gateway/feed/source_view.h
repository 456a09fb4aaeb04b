/* What is seen of a channel by those that read its history: newest.c, search.c, replays. Bus thread only. */
#pragma once

#include "gateway/feed/clock_steps.h"
#include "gateway/feed/ring.h"
#include "proto/bus/history.h"
#include "proto/bus/marker.h"

struct source;

/* Where histories are read: one shard, as its sources see it. */
struct source_shard {
    struct redis *commands;
    struct history *history; /* over that connection */
    bool clock_known; /* since the first connection */
    int64_t clock_ms; /* Redis's clock (milliseconds since 1970) less monotonic_ms() */
    struct clock_steps *steps; /* of that clock */
    void (*on_clock_doubt)(void *data); /* it is to be read now */
    void *data;
    uint64_t proven_ms; /* all that was published before this time of Redis's clock has come; 0: not known */
    char born_key[CHANNEL_KEY_MAX]; /* see marker.h; "" while no slot is known to be here */
    uint64_t born_ms, seen_ms; /* of the data set, and Redis's time before that was read; 0: not known */
    bool denied; /* the Redis user may not note a birth, so born_ms may be this gateway's first look */
};

/* The pages that streams read for themselves are in memory until each has all that it needs for one of its own: what they may take together. */
struct page_budget {
    size_t most, promised;
};

/* Whether there is room for the pages of one more stream. */
static inline bool page_budget_room(const struct page_budget *budget)
{
    return budget->promised < budget->most;
}

/* What all sources of a feed share; outlives them. */
struct source_shared {
    /* Between two shards, by their own clocks: after an event of another shard, none comes that is older than that event by more than this. */
    uint64_t margin_ms;
    uint32_t unsettled; /* kept by the sources: how many of them were LIVE once and are reading what they missed */
    struct ring_limits limits; /* of all that the bus thread keeps of events */
    struct page_budget *pages;
    h2o_linklist_t counted; /* see newest.c */
    uint32_t counted_count;
    void (*on_event)(void *owner, struct frame *frame); /* the next event of the channel, in order; the frame is borrowed */
    void (*on_read_failed)(void *owner, const char *why); /* source_retry() will be needed */
    void (*on_live)(void *owner); /* it became LIVE, or its ring reached deeper: what waited may ask again */
};

struct slice source_name(const struct source *source);
void *source_owner(const struct source *source);
struct source_shared *source_shared(const struct source *source);
const struct source_shard *source_shard(const struct source *source); /* NULL: none is known to have the channel now */

/* Whether it is LIVE: in order and up to date with its subscription. */
bool source_live(const struct source *source);

/* The ring and the position of the newest event; only while source_live(). */
const struct ring *source_ring(const struct source *source);
struct position source_last(const struct source *source);

/* While source_live(): the history has no entry, and source_last() is what its marker says, POSITION_NONE without one. */
bool source_bare(const struct source *source);

/* Whether this source has seen events that followed this place, an event or a time, and that the history has lost since. */
bool source_lost_after(const struct source *source, struct position after, bool exact);

/* Whether the ring, or having nothing newer, answers what follows `after`. */
bool source_covers(const struct source *source, struct position after);

/* See history.h; for readers of their own. NULL also where no shard has the channel now. */
struct history_read *source_read_after(const struct source *source, struct position after, size_t limit, history_cb cb, void *data)
    __attribute__((warn_unused_result));
struct history_read *source_read_before(const struct source *source, struct position before, size_t limit, history_cb cb,
                                        void *data) __attribute__((warn_unused_result));

/* For who reads by these two: wakes all that wait for the channel; tells of a failure, so that source_retry() will come. */
void source_wake(struct source *source);
void source_read_failed(struct source *source, const char *why);

/* See history_entry_size(). */
size_t source_entry_size(const struct source *source);

/* See history_left_alone(). */
const char *source_left_alone(const struct source *source);

/* Frames of history entries, one reference each, malformed ones left out; for readers of their own. Returns how many it wrote. */
size_t source_frames(struct source *source, const struct history_entry *entries, size_t count, struct frame **out);
