/* One encoded event, shared by every stream it goes to: immutable once made, counted by an atomic reference, so threads may pass it on
 * without copying. The references of streams' queues are counted a second time, so that the frame's memory counts once however many
 * queues hold it. The bytes are framed for HTTP/1.1 chunked coding (RFC 9112 section 7.1); transports that need no chunk framing take the
 * part inside. */
#pragma once

#include <stdatomic.h>

#include "proto/message.h"

enum frame_kind {
    FRAME_EVENT,
    FRAME_GAP, /* the gateway's own event that tells of a loss */
    FRAME_END, /* the last event of its channel */
};

struct frame {
    _Atomic uint64_t refs; /* all of them in the lower half; those of queues in the upper half, too */
    uint32_t head; /* bytes of the chunk-size line */
    uint32_t body; /* bytes of the event */
    uint16_t events; /* of which it is made, see frame_join() */
    uint8_t kind; /* enum frame_kind */
    bool durable; /* has a position */
    uint32_t lease_s; /* durable only, see struct message */
    uint32_t retry_ms; /* durable only: the reconnect time that it asks for; 0: none, or at once */
    uint16_t id_len; /* durable, or in the form of an answer: of the event's id, 0: none */
    uint32_t id; /* … and where in the event it stands */
    struct position at, prev; /* durable only */
    char bytes[]; /* chunk-size line, event, CRLF */
};

/* A queue's reference in `refs`. */
#define FRAME_IN_QUEUE (UINT64_C(1) << 32 | 1)

/* Bytes of the largest chunk-size line and of the CRLF behind the event. */
enum { FRAME_CHUNK_HEAD_MAX = 10, FRAME_CHUNK_TAIL = 2 };

/* A frame with one reference, the caller's. No bytes at all make the last chunk of an HTTP/1.1 body. */
struct frame *frame_of_bytes(struct slice sse);
struct frame *frame_of_parts(const struct slice *parts, size_t count); /* its bytes one after the other */
struct frame *frame_of_event(const struct event *event);

/* The empty frame that ends a chunked body; borrowed. Each thread has its own, so that threads do not share its count. */
struct frame *frame_last_chunk(void);

/* From a decoded bus message, in the lean form of proto/README.md: plain data becomes an event without type and id; what version 1 wrote into every event goes. `id`: of a
 * durable message that has one; it may be another one than message->id. */
struct frame *frame_of_message(const struct message *message, struct slice id);

/* Several events, in order, as one frame that has no position. */
struct frame *frame_join(struct frame *const *frames, size_t count);

static inline struct frame *frame_ref(struct frame *frame)
{
    atomic_fetch_add_explicit(&frame->refs, 1, memory_order_relaxed);
    return frame;
}

/* Gives a reference back; frees the frame with the last one. Any thread. */
void frame_unref(struct frame *frame);

/* The memory of the frame. */
static inline size_t frame_memory(const struct frame *frame)
{
    return sizeof(*frame) + frame->head + frame->body + FRAME_CHUNK_TAIL;
}

/* Takes a queue's reference. Returns by how many bytes that raises what all queues hold: the frame's memory for the first queue, else 0. Any thread. */
static inline size_t frame_enqueue(struct frame *frame)
{
    uint64_t before = atomic_fetch_add_explicit(&frame->refs, FRAME_IN_QUEUE, memory_order_relaxed);
    return before >> 32 == 0 ? frame_memory(frame) : 0;
}

/* Gives it back. Returns by how many bytes that lowers what all queues hold. Any thread. */
size_t frame_dequeue(struct frame *frame);

static inline struct slice frame_chunk(const struct frame *frame)
{
    return slice_make(frame->bytes, frame->head + frame->body + FRAME_CHUNK_TAIL);
}

static inline struct slice frame_body(const struct frame *frame)
{
    return slice_make(frame->bytes + frame->head, frame->body);
}

/* The event's id; where id_len tells of one. */
static inline struct slice frame_id(const struct frame *frame)
{
    return slice_make(frame->bytes + frame->head + frame->id, frame->id_len);
}
