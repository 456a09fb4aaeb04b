/* One channel as the bus thread sees it: keeps its events in order, fills holes from the Redis stream and remembers the newest in a ring.
 *
 *     SUBSCRIBING ──confirmed──► READING ──caught up──► LIVE ──hole──► READING
 *          ▲                        │                    │
 *          └───── subscription lost ┴────────────────────┘
 *
 * While it is not LIVE, messages that arrive are held, and follow what the history says, each once. */
#pragma once

#include "gateway/feed/clock_steps.h"
#include "gateway/feed/ring.h"
#include "proto/bus/history.h"
#include "proto/bus/marker.h"

struct source;
struct search;

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

/* A source that waits for its subscription. `name` is copied; `owner` comes back in the callbacks. `shard`: NULL where none has the channel now. */
struct source *source_create(struct source_shared *shared, const struct source_shard *shard, void *owner, struct slice name);

/* The channel has moved: its subscription there is to come. The shard before is not used any more, but for a read under way. */
void source_move(struct source *source, const struct source_shard *shard);
const struct source_shard *source_shard(const struct source *source);

/* See history.h; for readers of their own. NULL also where no shard has the channel now. */
struct history_read *source_read_after(const struct source *source, struct position after, size_t limit, history_cb cb, void *data)
    __attribute__((warn_unused_result));
struct history_read *source_read_before(const struct source *source, struct position before, size_t limit, history_cb cb,
                                        void *data) __attribute__((warn_unused_result));

/* For who reads by these two: wakes all that wait for the channel; tells of a failure, so that source_retry() will come. */
void source_wake(struct source *source);
void source_read_failed(struct source *source, const char *why);

/* Of authors' own ids in its history; only while source_live(), and for that turn. */
struct search *source_search(struct source *source);

/* Of the newest events beyond its ring; only while source_live(), and for that turn. True: `after` is set, see newest_find(). */
bool source_find_newest(struct source *source, uint32_t n, struct position *after);

struct source_shared *source_shared(const struct source *source);

/* See history_entry_size(). */
size_t source_entry_size(const struct source *source);

/* See history_left_alone(). */
const char *source_left_alone(const struct source *source);

/* Nobody waits any more for what source_verify(), source_deepen(), source_search() and source_find_newest() began. */
void source_drop_wishes(struct source *source);

/* No callback runs after this. */
void source_destroy(struct source *source);

struct slice source_name(const struct source *source);
void *source_owner(const struct source *source);

/* From the subscriber connection. */
void source_subscribed(struct source *source);
void source_lost(struct source *source);
void source_doubt(struct source *source); /* messages may have been lost on the way; the subscription is still the same */
void source_message(struct source *source, struct slice payload);

/* Tries again what could not be read: for when the command connection is back, or time has passed. */
void source_retry(struct source *source);

/* Whether it is LIVE: in order and up to date with its subscription. */
bool source_live(const struct source *source);

/* Before events of the ring are served: drops those that were deleted, expired or trimmed, which it learns from where the history begins. False where there is nothing to
 * ask, or it was asked at `since_ms` (monotonic_ms()) or later. True: a read is under way or will be, one for all, and on_live tells when. */
bool source_verify(struct source *source, uint64_t since_ms);

/* Asks for the ring to hold the newest `depth` events. False when it was already read that deep (it then holds what the history has and the
 * limits allow). True: a read is under way or will be, one for all that ask meanwhile, and on_live tells when. */
bool source_deepen(struct source *source, uint32_t depth);

/* The ring and the position of the newest event; only while source_live(). */
const struct ring *source_ring(const struct source *source);
struct position source_last(const struct source *source);

/* While source_live(): the history has no entry, and source_last() is what its marker says, POSITION_NONE without one. */
bool source_bare(const struct source *source);

/* Where nothing is known of what came before (a first event that names none before it, or no event at all): since this time of Redis's clock nothing was published before
 * that. `first`: the event, NULL for none at all; in_ring: it is the ring's oldest. False: it has to be read, and on_live tells when to ask again. */
bool source_horizon(struct source *source, const struct frame *first, bool in_ring, uint64_t *horizon_ms);

/* Whether this source has seen events that followed this place, an event or a time, and that the history has lost since. */
bool source_lost_after(const struct source *source, struct position after, bool exact);

/* Whether the ring, or having nothing newer, answers what follows `after`. */
bool source_covers(const struct source *source, struct position after);

/* Frames of history entries, one reference each, malformed ones left out; for readers of their own. Returns how many it wrote. */
size_t source_frames(struct source *source, const struct history_entry *entries, size_t count, struct frame **out);
