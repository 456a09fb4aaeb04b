#include "gateway/frame.h"

#include <stdio.h>
#include <stdlib.h>

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

struct frame *frame_of_bytes(struct slice sse)
{
    struct frame *frame = allocate(sse.n);
    memcpy(frame->bytes + frame->head, sse.p, sse.n);
    return frame;
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
    frame->durable = true;
    frame->at = message->at;
    frame->prev = message->prev;
    frame->id = (uint32_t)id;
    frame->id_len = (uint8_t)id_len;
    return frame;
}

struct frame *frame_of_message(const struct message *message)
{
    if (message->kind == MESSAGE_PLAIN) {
        struct event event = {
            .type = SLICE("message"), .data = &message->body, .data_count = 1, .id = {NULL, 0}, .retry_ms = EVENT_RETRY_NONE};
        return frame_of_event(&event);
    }
    size_t id = message->id.n == 0 ? 0 : (size_t)(message->id.p - message->body.p);
    return make_durable(frame_of_bytes(message->body), message, id, message->id.n);
}

struct frame *frame_with_id(const struct message *message, struct slice id)
{
    struct slice body = message->body, old = message->id;
    size_t before = (size_t)(old.p - body.p);
    struct frame *frame = allocate(body.n - old.n + id.n);
    char *p = frame->bytes + frame->head;
    memcpy(p, body.p, before);
    memcpy(p + before, id.p, id.n);
    memcpy(p + before + id.n, old.p + old.n, body.n - before - old.n);
    return make_durable(frame, message, before, id.n);
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

struct frame *frame_without_id(struct frame *frame)
{
    struct sse_fields fields;
    struct slice body = frame_body(frame);
    if (sse_check(body, &fields) != NULL || fields.id.p == NULL)
        return frame_ref(frame);
    size_t field = fields.id.n == 0 ? strlen("id:") : strlen("id: ");
    size_t before = (size_t)(fields.id.p - body.p) - field, line = field + fields.id.n + 1;
    struct frame *bare = allocate(body.n - line);
    memcpy(bare->bytes + bare->head, body.p, before);
    memcpy(bare->bytes + bare->head + before, body.p + before + line, body.n - before - line);
    return bare;
}

/* The value of the retry line, the last one of an event that has it; {NULL, 0} without. */
static struct slice retry_of(const struct frame *frame)
{
    enum { RETRY_LINE_MAX = sizeof("\nretry: 4294967295") - 1 };
    const struct slice none = {NULL, 0}, field = SLICE("retry: ");
    struct slice body = frame_body(frame);
    if (body.n < 2)
        return none;
    struct slice lines = slice_make(body.p, body.n - 2), end = lines;
    if (end.n > RETRY_LINE_MAX)
        end = slice_from(end, end.n - RETRY_LINE_MAX);
    const char *lf = memrchr(end.p, '\n', end.n);
    if (lf != NULL)
        end = slice_from(end, (size_t)(lf + 1 - end.p));
    else if (end.n != lines.n)
        return none; /* the end of a long line */
    return slice_starts(end, field) ? slice_from(end, field.n) : none;
}

bool frame_retry_is_long(const struct frame *frame)
{
    struct slice digits = retry_of(frame);
    uint64_t value = 0;
    for (size_t i = 0; i < digits.n; ++i)
        value = value * 10 + (uint64_t)(digits.p[i] - '0');
    return value > FRAME_RETRY_SHARED_MAX_MS;
}

/* The same event, asking for just FRAME_RETRY_SHARED_MAX_MS. */
static struct frame *with_less_retry(struct frame *frame)
{
    char end[24];
    struct slice body = frame_body(frame), digits = retry_of(frame);
    size_t before = (size_t)(digits.p - body.p), n = (size_t)snprintf(end, sizeof(end), "%d\n\n", FRAME_RETRY_SHARED_MAX_MS);
    struct frame *less = allocate(before + n);
    memcpy(less->bytes + less->head, body.p, before);
    memcpy(less->bytes + less->head + before, end, n);
    return less;
}

struct frame *frame_for_shared(struct frame *frame, bool settled)
{
    bool is_long = frame_retry_is_long(frame);
    if (!is_long)
        return settled ? NULL : frame_without_id(frame);
    struct frame *less = with_less_retry(frame);
    if (settled)
        return less;
    struct frame *bare = frame_without_id(less);
    frame_unref(less);
    return bare;
}
