/* What crosses between the bus thread and the workers: requests of a worker to the feed, updates of the feed for a worker's hub, and the outboxes that both leave in. In each
 * direction the first in is the first out. A message is its sender's until it is put into an outbox, then its receiver's, which frees it. */
#pragma once

#include <stdatomic.h>

#include "gateway/frame.h"
#include "proto/event_id.h"
#include "runtime/h2o.h"

struct hub_channel; /* a worker's end of a channel; the bus thread only hands the pointer back */
struct subscriber; /* likewise */
struct channel; /* the bus thread's end of a channel */
struct opening;

/* ---- worker to feed ---- */

/* What a stream asks for when it opens; from START_EARLIEST on nothing of the gateway's own comes first. */
enum start_mode {
    START_FRESH, /* from now on */
    START_LAST, /* the newest `last` events of each channel first */
    START_EARLIEST, /* all that the history has of each channel first */
    START_RESUME, /* everything after the event `resume_id` */
};

struct feed_request {
    h2o_multithread_message_t super;
    /* REQUEST_JOIN: a stream opens, or has written a page of its replay and wants the next. Answered by exactly one update, however long the bus
     * is down, with which the request comes back: UPDATE_PAGE, to be sent again, UPDATE_WELCOME or UPDATE_REFUSED.
     * REQUEST_LEAVE: the worker has no listener of these channels left; comes back with UPDATE_LEFT.
     * REQUEST_CANCEL: the stream of the request `cancelled` is gone: if that is not answered yet, it is to be refused now, and if it is away with a page, its opening
     * is freed. Not answered itself. */
    enum { REQUEST_JOIN, REQUEST_LEAVE, REQUEST_CANCEL } kind;
    atomic_uint holders; /* see feed_request_hold() */
    uint32_t worker;
    struct subscriber *subscriber; /* REQUEST_JOIN */
    atomic_bool abandoned; /* set by the worker before it sends REQUEST_CANCEL: what has not begun yet need not begin */
    struct feed_request *cancelled; /* REQUEST_CANCEL; held */
    enum start_mode mode;
    uint32_t last; /* START_LAST */
    bool head_sent; /* the client already counts on what comes from asked_ms on */
    uint64_t asked_ms; /* monotonic_ms() when it was first sent */
    uint64_t client; /* a number for the client; 0: not known, since no channel was new to the worker */
    uint32_t promised; /* new channels that feed_promise() gave it room for */
    uint32_t fresh; /* bus thread only, see gate.h */
    enum { REQUEST_AWAY, REQUEST_AT_GATE, REQUEST_OPENING } place; /* bus thread only: where it waits for its answer */
    bool listens; /* set by the bus thread: its channels are listened to from now on, until the worker leaves them */
    char *resume_id; /* START_RESUME: malloc'd, NUL-terminated, freed with the request */
    struct opening *opening; /* bus thread only, which frees it: NULL before the first answer is sought, and after the last */
    uint32_t count;
    struct requested_channel {
        struct hub_channel *local; /* lives until the worker has the answer */
        struct slice name; /* its own */
        struct channel *channel; /* bus thread only, while place is REQUEST_OPENING */
        uint64_t ended_ms; /* set with UPDATE_WELCOME: milliseconds of its end's position; 0: it goes on */
    } channels[];
};

/* Has one holder. */
struct feed_request *feed_request_create(uint32_t count);

/* One more holder, which calls feed_request_free() as well; the last one frees it. Any thread. */
struct feed_request *feed_request_hold(struct feed_request *request);
void feed_request_free(struct feed_request *request);

/* ---- feed to worker ---- */

/* The answer to a client whose stream is refused; static. */
struct refusal {
    int status;
    unsigned retry_s; /* Retry-After; 0: none */
    const char *sentence;
};

struct feed_update {
    h2o_multithread_message_t super;
    enum { UPDATE_EVENT, UPDATE_PAGE, UPDATE_WELCOME, UPDATE_REFUSED, UPDATE_CHANNEL_REFUSED, UPDATE_LEFT } kind;
    struct feed_request *request; /* that comes back; NULL for UPDATE_EVENT and UPDATE_CHANNEL_REFUSED, and once it was taken */
    union {
        struct {
            struct hub_channel *channel;
            struct frame *frame; /* one reference */
            struct feed_update *next; /* worker only, see batch.h */
            uint64_t came_us; /* monotonic_us() when it came from the bus */
            bool
                unsettled; /* other channels still read what they missed: to a stream of several channels it must not give its id */
        } event;
        struct {
            struct frame **frames; /* to replay, oldest first; malloc'd, one reference each */
            uint8_t *members; /* for each: the number of its channel in the request; in the same block as the frames */
            uint32_t count;
            char position[EVENT_ID_LEN + 1]; /* the id that stands for the place before the frames */
            uint64_t present_ms; /* a time of Redis's clock before which all that was published has come; 0: not known */
        } page; /* and welcome: the last one */
        struct {
            struct hub_channel
                *channel; /* UPDATE_CHANNEL_REFUSED: every stream of this channel is over; UPDATE_REFUSED: that of the request is */
            const struct refusal *why;
        } refused;
    };
};

/* With its frames and its request. */
void feed_update_free(struct feed_update *update);

/* ---- the way there ---- */

/* Messages of one turn of a thread's loop, sent to another thread as one: each send takes a lock and may wake the receiver, which on one core means a switch
 * there and back for every message. */
struct outbox {
    h2o_multithread_receiver_t *to;
    bool local; /* the receiver is on the sender's own thread: neither lock nor wake */
    struct parcel *parcel; /* the messages that will be sent next; NULL: none */
};

/* Hands the message over; it leaves with the next outbox_send(), after those put in before. */
void outbox_put(struct outbox *outbox, h2o_multithread_message_t *message);

/* After every turn of the sender's loop; a local receiver has been called when it returns. False when there was nothing. */
bool outbox_send(struct outbox *outbox);

/* The receiver's end: moves the messages inside what it was sent to the end of `messages`, in order. */
void outbox_unpack(h2o_linklist_t *received, h2o_linklist_t *messages);
