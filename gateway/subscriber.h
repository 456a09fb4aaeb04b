/* One client stream: a bounded queue of frames and the transport that carries them. Everything above the transport exists once, here, for
 * HTTP/1.1, TLS and HTTP/2 alike. Worker thread only. */
#pragma once

#include "gateway/counters.h"
#include "gateway/frame.h"
#include "gateway/note.h"
#include "runtime/client_address.h"

struct hub;
struct transport;

enum subscriber_state {
    SUBSCRIBER_OPENING, /* the bus has not told its place yet, or its replay is not written */
    SUBSCRIBER_LIVE,
    SUBSCRIBER_ENDING, /* out of its channels; closes when its queue is written */
    SUBSCRIBER_CLOSED, /* unlinked; freed by the hub once nothing refers to it */
};

/* What a fresh stream begins with. */
enum welcome {
    WELCOME_NOTHING,
    WELCOME_POSITION, /* a frame of only id and retry: no event fires, but the client has a place to resume from */
    WELCOME_LETTER, /* the event {"msg":"a"} with that id */
};

/* A subscriber's place in one channel's audience. */
struct member {
    struct subscriber *subscriber;
    struct hub_channel *channel;
    uint32_t index; /* MEMBER_OUT while not in it */
};
enum { MEMBER_OUT = UINT32_MAX };

struct subscriber {
    struct hub *hub;
    const struct transport *transport;
    union {
        h2o_socket_t *sock; /* HTTP/1.1: ours since the take-over; NULL before it and after a close */
        struct h2_stream *h2;
    };
    uint8_t state; /* enum subscriber_state */
    uint8_t welcome; /* enum welcome */
    uint8_t reason; /* enum close_reason, while ENDING */
    bool chunked; /* HTTP/1.1; an HTTP/1.0 client gets the bare bytes until the connection ends */
    bool busy; /* the transport is writing or not open yet: frames queue */
    bool joining; /* the answer to its join is not complete */
    bool listens; /* the feed listens to its channels for it */
    bool detached; /* closed and nothing of h2o refers to it any more */
    uint8_t ends; /* enum close_reason, at rotate_ms */
    uint32_t key; /* by which the token is known that let it in; 0: none was needed */
    struct client_address client; /* for the log */
    uint32_t received; /* bytes the client sent although it has nothing to say */
    struct { /* a ring; memory only while frames wait */
        struct frame **frames;
        uint32_t capacity, first, count;
        uint32_t offset; /* bytes of the first frame that are already out */
        uint32_t replayed; /* frames in front that are history: bounded by its pages, they do not count against QUEUE_BYTES */
        size_t bytes, live; /* of all events; of those that are not history */
    } queue;
    uint64_t active_ms; /* when something was last written, as far as not told by its channels */
    uint64_t since_ms; /* while it waits for its client: when it last made progress */
    uint64_t rotate_ms; /* when it is to be ended, by MAX_STREAM_SECONDS or with its token, see `ends`; UINT64_MAX: never */
    struct subscriber_request *request; /* its head is not sent yet; see subscriber_hold() */
    struct ask *page; /* the ask for the next page of its replay, sent when the queue is written */
    struct ask *asked; /* while the answer to it is to come */
    h2o_linklist_t link; /* keep-alive slot, then graveyard */
    h2o_linklist_t lag; /* see lag.h; while the head is held: the hub's list of those */
    uint32_t behind_ms; /* since when it is too far behind, see lag.h: the lower half of the time; 0: it is not */
    uint32_t member_count;
    struct member members[];
};

/* What a transport does. */
struct transport {
    const char *name;
    /* Sends the response head, status 200 with the request's response headers, and gives the stream to the subscriber. On HTTP/1.1 the socket is
     * taken over from h2o, so that a stream costs a few hundred bytes and not h2o's whole request. */
    void (*open)(h2o_req_t *req, struct subscriber *subscriber);
    /* Writes what the queue holds as far as the peer takes it, and sets `busy` when it must wait. Called only when not busy. */
    void (*flush)(struct subscriber *subscriber);
    /* The stream is over: let go of the socket or request, set `detached` (now or when h2o has let go). `written`: all that was queued is out, so
     * the protocol's own end can be sent; else it is cut. */
    void (*close)(struct subscriber *subscriber, bool written);
    /* The connection's descriptor; -1 when there is none (any more). */
    int (*fd)(const struct subscriber *subscriber);
};

/* A subscriber of `count` channels whose transport is not open yet. */
struct subscriber *subscriber_create(struct hub *hub, const struct transport *transport, uint32_t count, enum welcome welcome);

/* Keeps the request without a head until subscriber_open(): the head tells the client that from now on it misses nothing, so the place in the
 * channels must be known first. */
void subscriber_hold(struct subscriber *subscriber, h2o_req_t *req);

/* Sends the held head, if there is one. */
void subscriber_open(struct subscriber *subscriber);

/* Its place is told and its replay is on the way: from OPENING to LIVE. */
void subscriber_go_live(struct subscriber *subscriber);

/* While its head is held: its HTTP/1.1 connection, NULL over HTTP/2. */
h2o_socket_t *subscriber_held_on(const struct subscriber *subscriber);

/* Queues a frame (taking a reference) and writes if the transport is free. A stream that is too far behind is closed later, by lag_check(). */
void subscriber_push(struct subscriber *subscriber, struct frame *frame);

/* As subscriber_push() for a frame of which `offset` bytes are already out. */
void subscriber_push_rest(struct subscriber *subscriber, struct frame *frame, uint32_t offset);

/* Queues history, which stands before anything live. */
void subscriber_replay(struct subscriber *subscriber, struct frame *const *frames, uint32_t count);

/* For transports: they can write again. Clears `busy` and writes what waits. */
void subscriber_writable(struct subscriber *subscriber);

/* For transports: `written` frames of the queue's front are out, and `offset` bytes of the next. */
void subscriber_written(struct subscriber *subscriber, uint32_t written, uint32_t offset);

static inline struct frame *subscriber_queued(const struct subscriber *subscriber, uint32_t index)
{
    return subscriber->queue.frames[(subscriber->queue.first + index) & (subscriber->queue.capacity - 1)];
}

/* Bytes that count against QUEUE_BYTES: of live events, without the one under way and the newest, so that an event of any size fits behind another. */
static inline size_t subscriber_backlog(const struct subscriber *subscriber)
{
    uint32_t first = subscriber->queue.replayed, count = subscriber->queue.count;
    if (count - first < 3)
        return 0;
    return subscriber->queue.live - subscriber_queued(subscriber, first)->body - subscriber_queued(subscriber, count - 1)->body;
}

/* The memory that its queue holds; what it shares with others counts in full. */
static inline size_t subscriber_held(const struct subscriber *subscriber)
{
    size_t each = sizeof(struct frame) + FRAME_CHUNK_HEAD_MAX + FRAME_CHUNK_TAIL;
    return subscriber->queue.bytes + subscriber->queue.count * each + subscriber->queue.capacity * sizeof(struct frame *);
}

/* Ends a stream in order: what is queued, `last` (may be NULL) and the protocol's end are written first, then it closes for this reason. */
void subscriber_end(struct subscriber *subscriber, enum close_reason reason, struct frame *last);

/* The one door out: counts the reason, leaves the channels, closes the transport. Safe in the middle of a fan-out; the memory stays until the hub's
 * turn is over. */
void subscriber_close(struct subscriber *subscriber, enum close_reason reason);

/* The same for a stream that can't be: while its head is held the client gets this answer. */
void subscriber_refuse(struct subscriber *subscriber, const struct refusal *why);

/* Frees what subscriber_close() left. For the hub. */
void subscriber_free(struct subscriber *subscriber);
