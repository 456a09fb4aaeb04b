/* struct channel as its own files see it. feed.c and opening.c use the part about listeners. The rest is private to three files: channel.c
 * keeps the events in order, channel_read.c reads the history, and channel_view.c answers what others may ask. */
#pragma once

#include "gateway/feed/divergence.h"
#include "gateway/feed/ring.h"
#include "gateway/frames.h"
#include "runtime/redis/subscribe.h"
#include "runtime/seeded_hash.h"

enum state { SUBSCRIBING, READING, LIVE };

/* The read that waits or is under way. */
enum channel_read {
    READING_NONE,
    READING_NEWEST, /* the first one: the newest events fill the ring */
    READING_MISSED, /* what follows the last event */
    READING_MISSED_FROM_START, /* … from the beginning: it tells whether the history has any entry */
    READING_BEGIN, /* where the history begins, before the ring is served */
    READING_OLDER, /* what stands before the ring */
    READING_MARKER, /* what is known beside the history, see marker.h */
};

enum past {
    PAST_UNKNOWN, /* the history was not read yet */
    PAST_KNOWN, /* `last` is true */
    PAST_BARE, /* … by the marker: the history has no event */
};

/* Whether the next read is of the marker. */
enum marker_wish {
    MARKER_NONE,
    MARKER_FOR_PROOF, /* to prove what a history that restarted does not tell */
    MARKER_FOR_ABSENCE, /* the history was seen without an event: the marker tells what is missing */
};

/* How a message came to be taken. */
enum arrival {
    ARRIVAL_NEW, /* just now */
    ARRIVAL_HELD, /* until the history was read to its end */
    ARRIVAL_SETTLED, /* … by a read that began later, and would have found it if the history still had it */
};

/* One that at least one worker listens to. */
struct channel {
    struct channel_shared *shared;
    /* ---- its listeners ---- */
    UT_hash_handle hh;
    struct hub_channel **locals; /* one a worker, NULL when it does not listen */
    uint32_t listeners; /* workers */
    uint16_t slot;
    struct uplink *uplink; /* to its shard; NULL: none is known to have it */
    struct subscription subscription;
    h2o_linklist_t waiting; /* openings, for this channel */
    const struct refusal *refused; /* why no stream can have it; NULL: streams can */
    /* ---- its events ---- */
    const struct channel_shard *shard; /* of the uplink */
    enum state state;
    enum channel_read reading;
    union {
        struct history_read *history_read;
        struct marker_read *marker_read; /* READING_MARKER */
    };
    bool again; /* what the read under way brings is already old: read once more */
    enum marker_wish marker;
    enum past past;
    bool interrupted; /* since `last` was seen the subscription was lost at least once */
    uint64_t born_ms, seen_ms; /* of the data set, and Redis's time before it was read for this channel; 0: never */
    uint64_t proof_ms; /* the least that seen_ms has to be */
    uint64_t horizon_ms; /* nothing was published between this time and the first event that this channel has seen; 0: not known */
    uint64_t heard_ms; /* while interrupted: all that was published before this time of Redis's clock had come */
    uint64_t bare_ms; /* PAST_BARE: Redis's time when that was read */
    bool ends; /* it came to the end behind nobody's entries, and only looks whether the last event is still there */
    struct position read_to; /* the read of what was missed goes on behind this; POSITION_NONE: it begins */
    struct position
        strangers; /* while MARKER_FOR_ABSENCE: the newest entry, which is nobody's event; POSITION_NONE: there is no entry */
    bool all_strangers; /* … and so are all of them */
    struct position scan_to; /* PAST_UNKNOWN: the newest event is looked for before this; POSITION_NONE: before the end */
    uint32_t scanned; /* … among so many entries */
    struct divergence divergence; /* whether the history is the one that `last` was in */
    bool unsettled; /* counted in shared->unsettled */
    bool reread; /* held messages were let go: the history has them */
    struct position let_go; /* … the first of them */
    struct position last; /* of the newest event handed on */
    struct position
        passed; /* nobody's entries follow `last` in the history up to here, as was read; not above `last`: none was seen */
    struct position before_end; /* the position before `last`, which is the channel's end; POSITION_MAX: that is none */
    uint32_t lease_s; /* of the event at `last`; 0: none */
    bool abandoned; /* no event came within that */
    struct lease lease; /* in shard->leases, due then or sooner, while lease_s runs and it is LIVE; at other times perhaps */
    uint64_t read_us; /* monotonic_us() when the history last said what that is */
    struct ring ring;
    uint32_t depth; /* the ring was read to this depth; UINT32_MAX: to the beginning of the history */
    uint32_t wanted; /* the deepest wish so far */
    struct position older_begin; /* where the ring began when the deeper read under way was asked for */
    struct position reached,
        reached_begin; /* by the deeper reads: all from here on is in the ring or nobody's event, while the ring begins there */
    bool doubted; /* read where the history begins before the ring is served */
    uint64_t asked_ms, verified_ms; /* when that was asked; … and answered */
    struct {
        uint64_t first_ms, to_ms; /* of events that came ahead of the clock; to_ms 0: none did */
        uint64_t mono_ms; /* when the first of them came; … */
        uint64_t since_ms; /* … what was published before this time of Redis's clock had come then */
    } ahead;
    bool broken; /* the history went back: what streams have seen behind broken_at is lost, and was published before broken_ms */
    struct position broken_at;
    uint64_t broken_ms;
    uint32_t breaks; /* how often it did */
    struct frames held; /* messages that wait until the history is read */
    size_t held_memory; /* of the memory of rings */
    size_t asked_held; /* how many were held when the read under way was asked for */
    struct position asked_last; /* `last` then */
    size_t settled; /* of those held, the first so many came before a read to the end of the history */
    struct search *search; /* NULL: none was asked for yet */
    struct newest *newest; /* likewise */
    uint64_t handed_on; /* events with a position */
    uint32_t drops; /* of what these two knew */
    struct slice name;
};

/* ---- channel.c ---- */

/* All up to here was handed on. `newest`: the event there; NULL: it is not known. */
void channel_stand_at(struct channel *channel, struct position at, const struct frame *newest);

/* LIVE again: if the newest event's lease is over, so far as is proven, tells all streams that the channel was abandoned; else waits for that. */
void channel_check_lease(struct channel *channel);

/* Whether the lease may be over by Redis's clock, which is later than it seems where its answer had to wait, and the proof that no event came in time is still to come: a canary brings it, once
 * that clock, which is read again where it does not tell, is past the end. */
bool channel_lease_doubted(struct channel *channel);

/* Hands on the next event. */
void channel_emit(struct channel *channel, struct frame *frame);

/* Tells every stream that what stood between the last event and `until` is gone for good, or, where no event says so, what was published before time_ms; and goes on from `until`. Where that
 * is before the last event, the history has lost what streams were handed out behind it. */
void channel_emit_gap(struct channel *channel, struct position until, uint64_t time_ms);

/* Where nothing is missing between the last event and this one, which does not name it: links the two. So it is of the first event of a history that restarted, and of one that names an entry
 * of somebody else behind the last event, as old versions of the function did. */
void channel_join_on(const struct channel *channel, struct frame *frame);

/* Whether the event names nobody's entry that follows the last event. */
bool channel_names_stranger(const struct channel *channel, const struct frame *frame);

bool channel_already_seen(const struct channel *channel, const struct frame *frame);

/* `last` was wrong: what a new event says of the one before it is believed instead. */
void channel_start_over(struct channel *channel, struct position previous);

/* Drops what was learned of the history, besides the ring. */
void channel_forget_history(struct channel *channel);

/* The history was read to its end. */
void channel_catch_up(struct channel *channel);

/* ---- channel_read.c ---- */

/* Begins the read that is due, if none is under way. */
void channel_start_read(struct channel *channel);
