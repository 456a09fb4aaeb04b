#include "gateway/frame.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/digits.h"
#include "runtime/h2o.h"

/* A frame with its framing in place and `size` bytes of room for the event. */
static struct frame *allocate(size_t size)
{
    char head[FRAME_CHUNK_HEAD_MAX + 1];
    uint32_t head_len = (uint32_t)snprintf(head, sizeof(head), "%zx\r\n", size);
    struct frame *frame = h2o_mem_alloc(sizeof(*frame) + head_len + size + FRAME_CHUNK_TAIL);
    *frame = (struct frame){.refs = 1, .head = head_len, .body = (uint32_t)size, .events = 1};
    memcpy(frame->bytes, head, head_len);
    memcpy(frame->bytes + head_len + size, "\r\n", FRAME_CHUNK_TAIL);
    return frame;
}

struct frame *frame_of_parts(const struct slice *parts, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i != count; ++i)
        size += parts[i].n;
    struct frame *frame = allocate(size);
    char *p = frame->bytes + frame->head;
    for (size_t i = 0; i != count; ++i) {
        if (parts[i].n != 0)
            memcpy(p, parts[i].p, parts[i].n);
        p += parts[i].n;
    }
    return frame;
}

struct frame *frame_of_bytes(struct slice sse)
{
    return frame_of_parts(&sse, 1);
}

struct frame *frame_last_chunk(void)
{
    static _Thread_local struct frame *last_chunk;
    return last_chunk != NULL ? last_chunk : (last_chunk = frame_of_bytes(SLICE("")));
}

struct frame *frame_of_event(const struct event *event)
{
    struct frame *frame = allocate(sse_size(event));
    sse_write(frame->bytes + frame->head, event);
    return frame;
}

static struct frame *make_durable(struct frame *frame, const struct message *message, size_t id, size_t id_len)
{
    frame->kind = message->end ? FRAME_END : FRAME_EVENT;
    frame->lease_s = message->lease_s;
    uint64_t retry_ms = 0;
    digits_decimal(&retry_ms, message->retry, UINT32_MAX);
    frame->retry_ms = (uint32_t)retry_ms;
    frame->durable = true;
    frame->at = message->at;
    frame->prev = message->prev;
    frame->id = (uint32_t)id;
    frame->id_len = (uint16_t)id_len;
    return frame;
}

/* What version 1 wrote into every event without a type of its own, and into every event without a reconnect time. */
static const struct slice message_line = {"event: message\n", 15}, retry_end = {"\nretry: 6000\n\n", 14};

static bool slice_ends(struct slice s, struct slice end)
{
    return s.n >= end.n && memcmp(s.p + s.n - end.n, end.p, end.n) == 0;
}

struct frame *frame_of_message(const struct message *message, struct slice id)
{
    struct slice body = message->body, tail = SLICE("");
    if (message->kind == MESSAGE_PLAIN)
        return frame_of_event(&(struct event){.data = &body, .data_count = 1, .retry_ms = EVENT_RETRY_NONE});
    if (slice_starts(body, message_line)) {
        body = slice_from(body, message_line.n);
        if (slice_ends(body, retry_end)) {
            body.n -= retry_end.n;
            tail = SLICE("\n\n");
        }
    }
    struct slice old = message->id.p == NULL ? slice_make(body.p + body.n, 0) : message->id;
    size_t before = (size_t)(old.p - body.p);
    const struct slice parts[] = {slice_make(body.p, before), id, slice_from(body, before + old.n), tail};
    return make_durable(frame_of_parts(parts, sizeof(parts) / sizeof(parts[0])), message, id.n == 0 ? 0 : before, id.n);
}

struct frame *frame_join(struct frame *const *frames, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i != count; ++i)
        size += frames[i]->body;
    struct frame *joined = allocate(size);
    char *p = joined->bytes + joined->head;
    joined->events = 0;
    for (size_t i = 0; i != count; ++i) {
        struct slice body = frame_body(frames[i]);
        memcpy(p, body.p, body.n);
        p += body.n;
        joined->events = (uint16_t)(joined->events + frames[i]->events);
    }
    return joined;
}

/* `count`: 1 or FRAME_IN_QUEUE. Gives the references that there were. */
static uint64_t give_back(struct frame *frame, uint64_t count)
{
    uint64_t before = atomic_fetch_sub_explicit(&frame->refs, count, memory_order_acq_rel);
    if ((uint32_t)before == 1)
        free(frame);
    return before;
}

void frame_unref(struct frame *frame)
{
    give_back(frame, 1);
}

size_t frame_dequeue(struct frame *frame)
{
    size_t memory = frame_memory(frame);
    return give_back(frame, FRAME_IN_QUEUE) >> 32 == 1 ? memory : 0;
}
