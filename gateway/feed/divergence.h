/* Whether the history of a channel is still the one its events came from. After a failover it may be another one, which lacks the newest events, and has events of
 * its own in their place: its clock may even have given them older positions. Says what to read, and from the entries what to do; reads and hands on nothing.
 *
 * Entries that somebody added by hand prove nothing, neither that the history is the same nor that it is another one: they are passed over. */
#pragma once

#include "gateway/feed/ring.h"
#include "proto/bus/history.h"

enum divergence_trust {
    DIVERGENCE_TRUSTED,
    DIVERGENCE_DOUBTED, /* since the subscription is a new one: the next read begins with the last event itself */
    DIVERGENCE_SEARCHED, /* the last event is not there: what follows the oldest one of the ring is read, for the first that was not handed on */
    DIVERGENCE_FORGOTTEN, /* nothing of the ring is there, nor after it: the newest entry is read */
    DIVERGENCE_CHALLENGED, /* an event came that is older than the last one and may not have been handed on: the next read begins with the last one */
    DIVERGENCE_BEREFT, /* … and found nothing from there on: the newest entry is read */
};

/* Zeroed is one that is trusted. */
struct divergence {
    enum divergence_trust trust, asked; /* now; when the read under way began */
    bool emptied; /* the history was seen empty: all that it will hold comes after the last event, whatever its position */
    struct position common; /* while SEARCHED: all that the history has up to here was handed on */
    bool found_common; /* … and there was something */
    struct position searched; /* … and it was read up to here: nobody's events follow `common` */
    bool challenged; /* … which a challenge began */
    struct position newcomer_prev; /* what the event that it was challenged or doubted for says of the one before it */
};

/* What a channel has handed on; borrowed. */
struct divergence_past {
    struct slice channel;
    const struct ring *ring;
    struct position last; /* of the newest event */
};

/* The read that comes next. */
struct divergence_question {
    bool newest; /* the newest entry; else what follows `after` */
    struct position after;
};

struct divergence_answer {
    enum {
        DIVERGENCE_TAKE, /* the entries from `from` on are what follows */
        DIVERGENCE_GO_BACK, /* what was handed on after `at` is not in the history: a gap, then the entries from `from` on */
        DIVERGENCE_START_OVER, /* the last event was not of this history: the one before what comes next is at `at` */
        DIVERGENCE_ASK_AGAIN, /* the entries don't tell, or don't answer what is asked now */
        DIVERGENCE_ASK_MARKER, /* those that were handed on are not there, and the newest entry is nobody's event, or there is none: the marker tells what the last event is */
    } what;
    size_t from;
    struct position at;
};

/* The subscription is a new one. `last`: POSITION_NONE where nothing is known of the history. */
void divergence_doubt(struct divergence *divergence, struct position last);

/* An event came that is older than the last one and was not handed on, as far as is known. `prev`: what it says of the one before it. */
void divergence_challenge(struct divergence *divergence, struct position prev);

/* … since an event came that names one before `last`, at `prev`. */
void divergence_doubt_for(struct divergence *divergence, struct position last, struct position prev);

/* Whether what is asked now was asked because of an event that is older than the last one. */
bool divergence_challenged(const struct divergence *divergence);

struct divergence_question divergence_ask(struct divergence *divergence, struct position last);

/* `entries` answer the question asked last; `whole`: up to the end of the history. */
struct divergence_answer divergence_judge(struct divergence *divergence, const struct divergence_past *past,
                                          const struct history_entry *entries, size_t count, bool whole);
