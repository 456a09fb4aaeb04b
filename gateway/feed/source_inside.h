/* A source's own memory, for its two files: source.c keeps the events in order, source_read.c reads the history. */
#pragma once

#include "gateway/feed/divergence.h"
#include "gateway/feed/held.h"
#include "gateway/feed/source.h"

enum state { SUBSCRIBING, READING, LIVE };

struct source {
    struct source_shared *shared;
    const struct source_shard *shard;
    void *owner;
    enum state state;
    struct history_read *reading; /* that waits or is under way; NULL: none */
    struct marker_read *marking; /* likewise */
    bool known; /* `last` is true: the history was read at least once */
    bool interrupted; /* since `last` was seen the subscription was lost at least once */
    bool again; /* what the read under way brings is already old: read once more */
    bool marker_wanted; /* the next read is of what is known beside the history, see marker.h */
    bool absent; /* the history was seen without an entry: that read tells what is missing */
    bool from_start; /* the read under way tells whether the history has any entry */
    bool bare; /* the history has no entry: `last` is what its marker says */
    uint64_t born_ms, seen_ms; /* of the data set, and Redis's time before it was read for this source; 0: never */
    uint64_t proof_ms; /* the least that seen_ms has to be */
    uint64_t horizon_ms; /* nothing was published between this time and the first event that this source has seen; 0: not known */
    uint64_t heard_ms; /* while interrupted: all that was published before this time of Redis's clock had come */
    struct divergence divergence; /* whether the history is the one that `last` was in */
    bool unsettled; /* counted in shared->unsettled */
    bool caught_up; /* while what was held is taken */
    bool reread; /* held messages were let go: the history has them */
    struct position last; /* of the newest event handed on */
    struct ring ring;
    uint32_t depth; /* the ring was read to this depth; UINT32_MAX: to the beginning of the history */
    uint32_t wanted; /* the deepest wish so far */
    struct position older_begin; /* where the ring began when the deeper read under way was asked for */
    struct position reached,
        reached_begin; /* by the deeper reads: all from here on is in the ring or nobody's event, while the ring begins there */
    bool doubted; /* before the ring is served, it is to be asked where the history begins */
    uint64_t asked_ms, verified_ms; /* when that was asked; … and answered */
    bool broken; /* the history went back: what streams have seen behind broken_at is lost, and was published before broken_ms */
    struct position broken_at;
    uint64_t broken_ms;
    struct held held;
    size_t asked_held; /* how many were held when the read under way was asked for */
    size_t settled; /* of those held, the first so many came before a read that then found the last event in the history */
    struct search *search; /* NULL: none was asked for yet */
    struct newest *newest; /* likewise */
    uint64_t handed_on; /* events with a position */
    uint32_t drops; /* of what these two knew */
    size_t name_len;
    char name[];
};

/* ---- source.c ---- */

/* Hands on the next event. */
void source_emit(struct source *source, struct frame *frame);

/* Tells every stream that what stood between the last event and `until` is gone for good; or, where no event says so, what was published before time_ms. */
void source_emit_gap(struct source *source, struct position until, uint64_t time_ms);

/* The history began anew with this event, but nothing is missing before it: so the ring's chain holds. */
void source_join_on(const struct source *source, struct frame *frame);

bool source_already_seen(const struct source *source, const struct frame *frame);

/* `last` was wrong: what a new event says of the one before it is believed instead. */
void source_start_over(struct source *source, struct position previous);

/* What was found out about the history, beside the ring, holds no longer. */
void source_forget_history(struct source *source);

/* The history was read to its end. */
void source_catch_up(struct source *source);

/* NULL: the entry is nobody's event. */
struct frame *source_frame(const struct source *source, const struct history_entry *entry);

/* ---- source_read.c ---- */

/* Begins the read that is due, if none is under way. */
void source_start_read(struct source *source);
