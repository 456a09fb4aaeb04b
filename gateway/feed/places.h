/* Where a stream goes on in each of its channels, found from its last event id. A part of replay.c. Bus thread only.
 *
 * What an id stands for is looked up, not concluded from its form: an id of the bus's own form stands for its position only where an event of the history is there, or names it as the one
 * before; else it may be an author's own, and is looked for among those. Where an id stands for several places, each channel goes on from the earliest of them: events may come again, none
 * is left out. */
#pragma once

#include "gateway/feed/replay.h"
#include "gateway/feed/source.h"
#include "gateway/messages.h"

/* Whether a page goes on from `after` without a hole. */
enum page_joint {
    JOINT_BY_PREV, /* its first frame names what stands before it */
    JOINT_UNKNOWN, /* an entry of somebody else stands first, which names nothing: it joins on if `after` is still in the history */
    JOINT_PROVEN,
};

struct place {
    struct source *source;
    struct position after; /* what follows this is wanted */
    uint64_t time_ms; /* … and all that was published before this time was seen; only where not exact */
    bool exact; /* `after` is an event of this very channel, not only a time */
    bool stands; /* the id stands for this place, as far as it is known yet */
    bool lost; /* the id stands for no place here: all that may have been missed is told, before anything else */
    bool served; /* it has handed out a frame, so `after` is no longer where the client's id stands */
    bool told_here; /* the stream was told of what this gateway alone knows to be lost */
    bool gap; /* to be told before the first frame */
    bool gap_by_time; /* … since no event says what is missing: all that was published before gap_at may be */
    bool gap_here; /* … of which only this gateway knows: what follows `after` comes behind it */
    struct position gap_at;
    bool claimed; /* the id has the form of position `claim` in this channel */
    bool looked_up, claim_there; /* the page was read from there on, and has an event at that very position */
    struct position claim;
    bool emptied; /* a read from `after` on found that the history has nothing any more */
    struct frame **page; /* read for this stream alone, because the ring does not reach back */
    uint32_t page_count;
    size_t page_bytes; /* counted in the memory of rings */
    struct position page_end; /* of the last of them */
    bool page_full; /* there may be more behind it */
    enum page_joint joint;
    uint32_t next; /* in the page, or in the ring */
};

struct replay {
    const struct ask *ask;
    const struct source_shared *shared;
    void (*on_read)(void *data);
    void *data;
    uint64_t
        verified_since_ms; /* the rings that this page is made of are to be compared with their histories since; 0: not yet said */
    bool verified; /* … and all were */
    bool resolved, barrier_passed, counted;
    bool begun; /* its first page was made */
    uint32_t waits; /* for a later present */
    uint32_t read_at;
    size_t promised; /* bytes of shared->pages, while pages are read and held */
    struct history_read *reading; /* of its own */
    const char *failed; /* why the last one did; NULL: it did not */
    enum history_fault fault; /* … and of what kind that was, once it is told */
    struct place places[];
};

/* Finds the places of ask->resume_id. READY: they are there. */
enum replay_need places_find(struct replay *replay, struct source **wait_at);

/* Whether the stream misses something before `first`, its first frame here, or NULL; sets gap_at where no event tells. False: something has to be read first, wait at the source. */
bool places_missed(struct place *place, const struct frame *first, bool *missed);

/* A time of Redis's clock before which all that was published in these channels has come; 0: not known. */
uint64_t places_present_ms(const struct replay *replay);

/* Position of the newest event, of all channels or of those of one shard. */
struct position places_newest(const struct replay *replay, const struct source_shard *shard);

/* Sequence number of an id that stands for a time: with PLACE_PROVEN all that was published before it, by each shard's own clock, has come; else only within the margin between shards. */
enum { PLACE_NEAR = 0, PLACE_PROVEN = 1 };

/* Every event of this millisecond or later. */
struct position places_since(uint64_t ms);

/* In replay_read.c: reads the history from places[at].claim on; replay->on_read is called when looked_up is set, or it failed. */
enum replay_need replay_look_up(struct replay *replay, uint32_t at);
