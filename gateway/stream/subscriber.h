/* One client stream: a bounded queue of frames and the transport that carries them. Everything above the transport exists once, here, for
 * HTTP/1.1, TLS and HTTP/2 alike; what happens to it is told to its owner. Worker thread only. */
#pragma once

#include "gateway/frames.h"
#include "gateway/messages.h"
#include "gateway/own_events.h"
#include "runtime/net/client_address.h"

struct fanout;
struct hub;
struct poll;
struct stream_log;
struct subscriber;
struct transport;

enum subscriber_state {
    SUBSCRIBER_OPENING, /* the feed has not answered yet, or the replay is not written */
    SUBSCRIBER_LIVE,
    SUBSCRIBER_ENDING, /* out of its channels; closes when its queue is written */
    SUBSCRIBER_CLOSED, /* libh2o may still refer to it */
    SUBSCRIBER_RELEASED, /* nothing does but its owner */
};

/* All that a subscriber says upward; one const table. */
struct subscriber_owner {
    void (*changed)(struct subscriber *subscriber); /* it began or stopped waiting for its client: see `waits` and `progress` */
    void (*drained)(struct subscriber *subscriber); /* OPENING, and everything is written: the next page may come */
    void (*left)(struct subscriber *subscriber); /* it will be ENDING or CLOSED: takes it out of the channels and the wheel */
    void (*released)(struct subscriber *subscriber); /* it is RELEASED: to be freed after this turn of the loop, not in this call */
};

/* What the owner of a stream waits for from the feed. */
enum join {
    JOIN_NONE,
    JOIN_ASKED, /* the answer to `join_request` is to come */
    JOIN_PAGE, /* one page is being written; `join_request` is for the next one */
    JOIN_LEAVING, /* it is over and has channels to leave */
};

/* A subscriber's place in one channel's fan-out. */
struct member {
    struct subscriber *subscriber;
    struct fanout *fanout; /* NULL: none */
    uint32_t index; /* MEMBER_OUT while not in it */
};
enum { MEMBER_OUT = UINT32_MAX };

struct subscriber {
    const struct subscriber_owner *owner;
    struct hub *hub; /* for the owner */
    const struct transport *transport;
    union {
        h2o_socket_t *sock; /* HTTP/1.1: ours since the take-over; NULL before it and after a close */
        struct h2_stream *h2;
        struct poll *poll; /* transport_poll */
    };
    uint8_t state; /* enum subscriber_state */
    uint8_t welcome; /* enum welcome */
    uint8_t reason; /* enum close_reason, at rotate_ms and while ENDING */
    uint8_t join; /* enum join, for the owner */
    bool chunked; /* HTTP/1.1; an HTTP/1.0 client gets the bare bytes until the connection ends */
    bool busy; /* the transport is writing or not open yet: frames queue */
    bool waits; /* for its client: busy, or with a queue; as the owner was last told */
    bool progress; /* its client has taken bytes; the owner clears it */
    bool detached; /* libh2o no longer refers to it */
    bool listens; /* the feed listens to its channels for it */
    uint16_t member_count;
    uint32_t key; /* by which the token is known that let it in; 0: none was needed */
    struct client_address client; /* for the log */
    struct stream_log *log; /* NULL: it is not logged */
    char *end_text; /* malloc'd: what its client gets in place of the event "end"; NULL: that */
    uint32_t received; /* bytes the client sent although it has nothing to say */
    uint32_t behind_ms; /* since when it is too far behind, see slow.h: the lower half of the time; 0: it is not */
    struct frames queue; /* references by frame_enqueue() */
    uint32_t offset; /* bytes of its front that are already out */
    uint32_t replayed; /* of its frames, in front: history, which is bounded by its pages and does not count against QUEUE_BYTES */
    size_t live_bytes; /* of its events that are not history */
    uint64_t active_ms; /* when something was last written; writes of a fan-out are in its channels' active_ms */
    uint64_t since_ms; /* while it waits for its client: when it last made progress */
    uint64_t rotate_ms; /* when it is to be ended, by MAX_STREAM_SECONDS or with its token, see `reason`; UINT64_MAX: never */
    struct subscriber_request *request; /* its head is not sent yet; see subscriber_hold() */
    struct feed_request *join_request; /* see `join` */
    h2o_linklist_t link; /* for the owner: keep-alive slot, then its list of those that leave, then graveyard */
    h2o_linklist_t slow; /* see slow.h; while the head is held: the list of those */
    struct member members[];
};

/* A subscriber of `count` channels whose transport is not open yet. */
struct subscriber *subscriber_create(const struct subscriber_owner *owner, struct hub *hub, const struct transport *transport,
                                     uint32_t count, enum welcome welcome);

/* Keeps the request without a head until subscriber_open(): the head tells the client that from now on it misses nothing, so the place in the
 * channels must be known first. Until then it stands in the list `held`, by `slow`. A request that goes meanwhile closes the stream. */
void subscriber_hold(struct subscriber *subscriber, h2o_req_t *req, h2o_linklist_t *held);

/* Sends the held head, if there is one. */
void subscriber_open(struct subscriber *subscriber);

/* While its head is held: its HTTP/1.1 connection; NULL over HTTP/2. */
h2o_socket_t *subscriber_held_on(const struct subscriber *subscriber);

/* The feed has answered and the replay is on its way: from OPENING to LIVE. */
void subscriber_go_live(struct subscriber *subscriber);

/* Queues a frame (taking a reference) and writes if the transport is free. A stream that is too far behind is closed later, by slow_check(). */
void subscriber_push(struct subscriber *subscriber, struct frame *frame);

/* Queues a frame (taking a reference) to be written when the loop finds the socket free: of a live stream that waits for nothing, whose transport has wait(). */
void subscriber_push_later(struct subscriber *subscriber, struct frame *frame);

/* Queues history, which stands before anything live. Takes a reference of each. */
void subscriber_replay(struct subscriber *subscriber, struct frame *const *frames, uint32_t count);

/* Reports a direct write of the frame's chunk, made while the queue was empty: `sent` is what send() returned, -1 with errno. True when all of it is out. What the socket did
 * not take is queued; a broken socket closes the stream. */
bool subscriber_sent(struct subscriber *subscriber, struct frame *frame, ssize_t sent);

/* For transports: they can write again. Clears `busy` and writes what waits. */
void subscriber_writable(struct subscriber *subscriber);

/* For transports: `written` frames of the queue's front are out, and `offset` bytes of the next. */
void subscriber_written(struct subscriber *subscriber, uint32_t written, uint32_t offset);

/* For transports: a write failed for good, with this errno. Closes it. */
void subscriber_broken(struct subscriber *subscriber, int error);

/* For transports: libh2o no longer refers to it. Closes it if that has not happened. */
void subscriber_detach(struct subscriber *subscriber);

/* Bytes that count against QUEUE_BYTES: of live events, without the one under way and the newest, so that an event of any size fits behind another. */
static inline size_t subscriber_backlog(const struct subscriber *subscriber)
{
    const struct frames *queue = &subscriber->queue;
    if (queue->count - subscriber->replayed < 3)
        return 0;
    return subscriber->live_bytes - frames_at(queue, subscriber->replayed)->body - frames_at(queue, queue->count - 1)->body;
}

/* The memory that its queue holds; what it shares with others counts in full. */
static inline size_t subscriber_held(const struct subscriber *subscriber)
{
    size_t each = sizeof(struct frame) + FRAME_CHUNK_HEAD_MAX + FRAME_CHUNK_TAIL;
    return subscriber->queue.bytes + subscriber->queue.count * each + subscriber->queue.capacity * sizeof(struct frame *);
}

/* Ends a stream in order: what is queued, `last` (may be NULL) and the protocol's end are written first, then it closes for this reason. */
void subscriber_end(struct subscriber *subscriber, enum close_reason reason, struct frame *last);

/* The way to close a stream that has begun, see also subscriber_refuse(): counts the reason, logs it (at info where the gateway forced it; each close with LOG_STREAMS, see stream_log.h), leaves the channels, closes the transport. Safe in the middle of a fan-out: the memory stays until the turn is over. */
void subscriber_close(struct subscriber *subscriber, enum close_reason reason);

/* As subscriber_close(), for a request that polls: its answer is what is queued. */
void subscriber_answer(struct subscriber *subscriber, enum close_reason reason);

/* As subscriber_close(), for a stream that cannot be opened, or has nothing to tell (status 204): if its head is still held, the client gets this answer instead. */
void subscriber_refuse(struct subscriber *subscriber, enum close_reason reason, const struct refusal *why);

/* For the owner, once it is RELEASED. */
void subscriber_free(struct subscriber *subscriber);
