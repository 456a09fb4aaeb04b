/* The messages between the bus thread and the workers, and nothing else crosses. Each travels a h2o_multithread queue, first in first out
 * in each direction; the receiver owns and frees it. */
#pragma once

#include <stdatomic.h>

#include "gateway/frame.h"
#include "proto/event_id.h"
#include "runtime/h2o.h"

struct hub_channel; /* a worker's end of a channel; the bus thread only hands the pointer back */
struct subscriber; /* likewise */
struct feed_channel; /* the bus thread's end of a channel */
struct opening;

/* What a stream asks for when it opens. */
enum start_mode {
    START_FRESH, /* from now on */
    START_LAST, /* the newest `last` events of each channel first */
    START_RESUME, /* everything after the event `resume_id` */
};

/* Worker to bus. */
struct ask {
    h2o_multithread_message_t super;
    /* ASK_JOIN: a stream opens, or has written a page of its replay and wants the next. Answered by exactly one tell, however long the bus
     * is down, with which the ask comes back: TELL_PAGE, to be sent again, TELL_WELCOME or TELL_REFUSED.
     * ASK_LEAVE: the worker has no listener of these channels left; comes back with TELL_LEFT.
     * ASK_CANCEL: the stream of the ask `cancelled` is gone: if that ask is not answered yet, it is to be refused now, and if it is away with a page, its opening is
     * freed. Not answered itself. */
    enum { ASK_JOIN, ASK_LEAVE, ASK_CANCEL } kind;
    atomic_uint holders; /* see ask_hold() */
    uint32_t worker;
    struct subscriber *subscriber;
    atomic_bool abandoned; /* set by the worker before it sends ASK_CANCEL: what has not begun yet need not begin */
    struct ask *cancelled; /* ASK_CANCEL; held */
    enum start_mode mode;
    uint32_t last; /* START_LAST */
    bool head_sent; /* the client already counts on what comes from asked_ms on */
    uint64_t asked_ms; /* monotonic_ms() when it was first asked */
    uint64_t client; /* a number for the client; 0: not known, since no channel was new to the worker */
    uint32_t promised; /* new channels that feed_promise() gave it room for */
    uint32_t fresh; /* bus thread only, see gate.h */
    enum { ASK_AWAY, ASK_AT_GATE, ASK_OPENING } place; /* bus thread only: where it waits for its answer */
    bool listens; /* set by the bus thread: its channels are listened to from now on, until the worker leaves them */
    char *resume_id; /* START_RESUME: malloc'd, NUL-terminated, freed with the ask */
    struct opening *opening; /* bus thread only, which frees it: NULL before the first answer is sought, and after the last */
    uint32_t count;
    struct ask_channel {
        struct hub_channel *local; /* lives until the worker has the answer */
        struct slice name; /* its own */
        struct feed_channel *entry; /* bus thread only, while place is ASK_OPENING */
    } channels[];
};

/* Has one holder. */
struct ask *ask_create(uint32_t count);

/* One more holder, which calls ask_free() as well; the last one frees it. Any thread. */
struct ask *ask_hold(struct ask *ask);
void ask_free(struct ask *ask);

/* Bus to worker. */
struct tell {
    h2o_multithread_message_t super;
    enum { TELL_EVENT, TELL_PAGE, TELL_WELCOME, TELL_REFUSED, TELL_CHANNEL_REFUSED, TELL_LEFT } kind;
    union {
        struct {
            struct hub_channel *channel;
            struct frame *frame; /* one reference */
            struct tell *next; /* worker only, see batch.h */
            uint64_t came_us; /* monotonic_us() when it came from the bus */
            bool
                unsettled; /* other channels still read what they missed: to a stream of several channels this event must not give its id */
        } event;
        struct {
            struct subscriber *subscriber;
            struct ask *ask; /* TELL_PAGE: to be sent again for the next page */
            char position[EVENT_ID_LEN + 1]; /* the id that stands for the place before the frames */
            uint32_t count;
            struct frame **frames; /* to replay, oldest first; malloc'd, one reference each */
        } page; /* and welcome: the last one */
        struct {
            struct hub_channel *channel; /* TELL_CHANNEL_REFUSED: every stream of this channel is over */
            struct subscriber *subscriber; /* TELL_REFUSED: this stream can't be opened */
            struct ask *ask;
            const struct refusal *why;
        } refused;
        struct ask *left; /* ASK_LEAVE */
    };
};

/* The answer to a client whose stream is refused; static. */
struct refusal {
    int status;
    unsigned retry_s; /* Retry-After; 0: none */
    const char *sentence;
};

/* The ask of a page included, unless it was taken (set to NULL). */
void tell_free(struct tell *tell);
