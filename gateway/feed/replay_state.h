/* A replay's own memory, for its three files: replay.c makes pages, places.c finds where they begin, replay_read.c reads histories. Bus thread only. */
#pragma once

#include "gateway/feed/channel.h"
#include "gateway/messages.h"

/* A page of a replay: the next is made when this one was written. */
enum { REPLAY_PAGE_FRAMES = 1000, REPLAY_PAGE_BYTES = 262144 };

/* What has to happen before a replay can go on. */
enum replay_need {
    REPLAY_READY, /* replay_page() may be called, now */
    REPLAY_CHANNEL, /* *wait_at must become live or deeper: call again from its on_live */
    REPLAY_BARRIER, /* the id may be newer than what this node has seen: call again behind a canary */
    REPLAY_READ, /* on_read will be called */
    REPLAY_TURN, /* the pages of other streams leave no room for its own: call again when page_budget_room() */
    REPLAY_REFUSED, /* the history of one of its channels can't be read: replay_fault() says why */
    REPLAY_RETRY, /* a read could not be sent or failed: call again when the connection is back, or after a while */
};

/* What `after` of a place is. */
enum stance {
    STANCE_UNKNOWN, /* not set yet */
    STANCE_TIME, /* all that was published before time_ms was seen */
    STANCE_EVENT, /* an event of this very channel, or an entry of its history */
};

/* Whether the id has the form of a position of this channel: `claim`. */
enum claim {
    CLAIM_NONE,
    CLAIM_MADE,
    CLAIM_ABSENT, /* the history was read from there on, and has no event at that very position */
    CLAIM_THERE, /* … and has */
};

/* What only this gateway knows to be lost, or has to assume. */
enum loss {
    LOSS_NONE,
    LOSS_ALL, /* the id is no place here: a gap for all that may have been missed comes first */
    LOSS_TOLD, /* the gap was sent */
};

/* The gap that is to be sent before the next frame. */
enum place_gap {
    PLACE_GAP_NONE,
    PLACE_GAP_BY_EVENT, /* up to gap_at, before an event that names what stood before it */
    PLACE_GAP_BY_TIME, /* no event says what is missing: all that was published before gap_at may be */
    PLACE_GAP_HERE, /* only this gateway knows of it: what follows `after` comes behind it */
    PLACE_GAP_ALL, /* see LOSS_ALL */
};

/* What was read for this stream alone, because the ring does not reach back. */
enum place_page {
    PAGE_NONE,
    PAGE_EMPTIED, /* a read from `after` on found no event in the history: what follows page_end is in the ring, as long as that has it */
    /* Whether the page goes on from `after` without a hole: */
    PAGE_UNKNOWN, /* its first frame names none behind entries of somebody else, or one of these, as old versions of the function did: it joins on if `after` is still in the history */
    PAGE_BY_PREV, /* its first frame names what stands before it */
    PAGE_PROVEN, /* it does */
};

/* Where the stream goes on in one of its channels. */
struct place {
    struct channel *channel;
    enum stance stance;
    struct position after; /* what follows this is wanted */
    struct position read_to; /* what follows `after` was read up to here, and was nobody's; not above `after`: nothing was */
    uint64_t time_ms; /* STANCE_TIME only */
    enum loss loss;
    uint32_t breaks; /* of its channel, when `after` was last looked at */
    enum claim claim;
    struct position claimed;
    bool told; /* its client was told the end behind `after`, and nothing was served since */
    bool served; /* it has handed out a frame, so `after` is no longer where the client's id stands */
    enum place_gap gap;
    struct position gap_at;
    enum place_page page;
    bool page_more; /* there may be more behind it */
    bool page_heard; /* it was looked at again behind a canary, so its events have come */
    uint32_t page_count;
    struct frame **page_frames; /* malloc'd, one reference each; NULL for PAGE_NONE and PAGE_EMPTIED */
    size_t page_bytes; /* counted in the memory of rings */
    struct position
        page_end; /* of the last entry that was read; PAGE_EMPTIED: the channel's newest event when that was asked for */
    uint32_t next; /* in the page, or in the ring */
};

static inline bool place_has_page(const struct place *place)
{
    return place->page >= PAGE_UNKNOWN;
}

enum replay_state {
    REPLAY_RESOLVING, /* finds out what its stream's id stands for */
    REPLAY_BEHIND_BARRIER, /* … where all that was published before it was asked for is here */
    REPLAY_RESOLVED, /* the places are known */
    REPLAY_BEGUN, /* its first page was made */
};

struct replay {
    const struct feed_request *request;
    const struct channel_shared *shared;
    void (*on_read)(void *data);
    void *data;
    enum replay_state state;
    uint64_t verify_ms; /* the rings that this page is made of are to be compared with their histories since; 0: not yet said */
    bool verified; /* … and all were */
    uint32_t waits; /* for a later present */
    struct history_read *reading; /* of its own; NULL: none */
    uint32_t read_at; /* for this place */
    struct position newest_asked; /* its channel's newest event when that was asked for */
    size_t promised; /* bytes of shared->pages, while pages are read and held */
    struct frame *held_end; /* the last frame of the page before, which waits for the next one; NULL: none */
    uint8_t held_member; /* … of this channel */
    const char *failed; /* why the last read did; NULL: it did not */
    enum history_fault fault; /* … and what kind of failure, for replay_fault() */
    struct place places[];
};
