/* What is seen of a channel by those that read its history: newest.c, search.c, replays. Bus thread only. */
#pragma once

#include "gateway/feed/clock_steps.h"
#include "gateway/feed/leases.h"
#include "gateway/feed/ring.h"
#include "proto/bus/history.h"
#include "proto/bus/marker.h"

struct channel;

enum {
    FOLLOW_MS = 2000
}; /* a gateway follows a failover within this: until then it may hear an old primary, which proves nothing of the new one */

/* Where histories are read: one shard, as its channels see it. */
struct channel_shard {
    struct redis *commands;
    struct history *history; /* over that connection */
    bool clock_known; /* since the first connection */
    int64_t clock_ms; /* Redis's clock (milliseconds since 1970) less monotonic_ms() */
    struct clock_steps *steps; /* of that clock */
    struct leases *leases; /* of channels there, see channel_check_leases() */
    struct clock_steps *doubts; /* times about which a failover was followed: what was proven then may be of the primary before */
    void (*on_clock_doubt)(void *data); /* read the clock now */
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

/* What all channels of a feed share; outlives them. */
struct channel_shared {
    /* Between two shards, by their own clocks: after an event of another shard, none comes that is older than that event by more than this. */
    uint64_t margin_ms;
    uint32_t unsettled; /* kept by the channels: how many of them were LIVE once and are reading what they missed */
    struct ring_limits limits; /* of all that the bus thread keeps of events */
    struct page_budget *pages;
    h2o_linklist_t counted; /* see newest.c */
    uint32_t counted_count;
    uint32_t worker_count; /* each may listen to each channel */
    void (*on_event)(struct channel *channel,
                     struct frame *frame); /* the next event of the channel, in order; the frame is borrowed */
    void (*on_read_failed)(struct channel *channel, const char *why); /* channel_retry() will be needed */
    void (*on_live)(struct channel *channel); /* it became LIVE, or its ring reached deeper: what waited may ask again */
};

struct slice channel_name(const struct channel *channel);
struct channel_shared *channel_shared(const struct channel *channel);
const struct channel_shard *channel_shard(const struct channel *channel); /* NULL: none is known to have the channel now */

/* Whether it is LIVE: in order and up to date with its subscription. */
bool channel_live(const struct channel *channel);

/* The ring and the position of the newest event; only while channel_live(). */
const struct ring *channel_ring(const struct channel *channel);
struct position channel_newest(const struct channel *channel);

/* Milliseconds of the position of the channel's newest event, which is its end, or behind which it was abandoned; 0: it goes on. While channel_live(). */
uint64_t channel_ended_ms(const struct channel *channel);

/* Whether it was abandoned: no entry says so. */
bool channel_abandoned(const struct channel *channel);

/* The place of those that have had all events but the end: channel_newest() where there is none. */
struct position channel_before_end(const struct channel *channel);

/* monotonic_us() when that was last read in the history, which may be ahead of the subscription: what was published in other channels before then may be on its way. */
uint64_t channel_read_us(const struct channel *channel);

/* The ring has everything that follows this place. */
struct position channel_ring_begin(const struct channel *channel);

/* While channel_live(): the history has no event, and channel_newest() is what its marker says, POSITION_NONE without one. */
bool channel_bare(const struct channel *channel);

/* Whether this channel has seen events that followed this place, an event or a time, and that the history has lost since. */
bool channel_lost_after(const struct channel *channel, struct position after, bool exact);

/* Whether an event of this time came ahead of the clock, as that is known now; *since_ms: other channels go on from there. */
bool channel_was_ahead(const struct channel *channel, uint64_t ms, uint64_t *since_ms);

/* How often the history went back; *at: to where, the last time. Who was handed out more than that has what is lost. */
uint32_t channel_breaks(const struct channel *channel, struct position *at);

/* Whether the ring, or having nothing newer, answers what follows `after`. */
bool channel_covers(const struct channel *channel, struct position after);

/* See history.h; for readers of their own. NULL also where no shard has the channel now. */
struct history_read *channel_read_after(const struct channel *channel, struct position after, size_t limit, history_cb cb,
                                        void *data) __attribute__((warn_unused_result));
struct history_read *channel_read_before(const struct channel *channel, struct position before, size_t limit, history_cb cb,
                                         void *data) __attribute__((warn_unused_result));

/* For callers of these two, that found nothing before `first` from before the ring on: the ring does not go back further. `newest`: see below. */
void channel_begins_with(struct channel *channel, struct position first, struct position newest);

/* For those that found nothing before `first` from `newest` on, the newest event when they asked, or from before it: if its history is gone the channel is new, and an end, or a lease, counts
 * no more. */
void channel_forget_end(struct channel *channel, struct position first, struct position newest);

/* Likewise: wakes all streams that wait for the channel; reports a failure, so that channel_retry() follows. */
void channel_wake(struct channel *channel);
void channel_read_failed(struct channel *channel, const char *why);

/* See history_entry_size(). */
size_t channel_entry_size(const struct channel *channel);

/* See history_left_alone(). */
const char *channel_left_alone(const struct channel *channel);

/* A frame with one reference; NULL: the entry is nobody's event. */
struct frame *channel_frame(const struct channel *channel, const struct history_entry *entry);

/* Frames of history entries, one reference each, malformed ones left out; for readers of their own. Returns how many it wrote. */
size_t channel_frames(struct channel *channel, const struct history_entry *entries, size_t count, struct frame **out);
