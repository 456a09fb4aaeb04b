#include "gateway/subscriber.h"

#include <assert.h>
#include <stdlib.h>

#include "gateway/hub.h"

/* Room for so many frames stays with a stream once it was needed: transports that always queue must not allocate for each event. */
enum { QUEUE_KEPT = 4 };

struct subscriber *subscriber_create(struct hub *hub, const struct transport *transport, uint32_t count, enum welcome welcome)
{
    size_t size = sizeof(struct subscriber) + count * sizeof(struct member);
    struct subscriber *subscriber = h2o_mem_alloc(size);
    memset(subscriber, 0, size);
    subscriber->hub = hub;
    subscriber->transport = transport;
    subscriber->state = SUBSCRIBER_OPENING;
    subscriber->welcome = welcome;
    subscriber->busy = true;
    subscriber->member_count = count;
    for (uint32_t i = 0; i < count; ++i)
        subscriber->members[i] = (struct member){.subscriber = subscriber, .index = MEMBER_OUT};
    metric_add(COUNT_STREAMS, 1);
    metric_add(COUNT_STREAMS_OPENED, 1);
    return subscriber;
}

static void queue_grow(struct subscriber *subscriber)
{
    uint32_t capacity = subscriber->queue.capacity == 0 ? QUEUE_KEPT : subscriber->queue.capacity * 2;
    struct frame **frames = h2o_mem_alloc(capacity * sizeof(*frames));
    for (uint32_t i = 0; i < subscriber->queue.count; ++i)
        frames[i] = subscriber_queued(subscriber, i);
    free(subscriber->queue.frames);
    subscriber->queue.frames = frames;
    subscriber->queue.capacity = capacity;
    subscriber->queue.first = 0;
}

static void queue_clear(struct subscriber *subscriber)
{
    for (uint32_t i = 0; i < subscriber->queue.count; ++i)
        frame_unref(subscriber_queued(subscriber, i));
    metric_add(COUNT_QUEUED_BYTES, -(int64_t)subscriber->queue.bytes);
    free(subscriber->queue.frames);
    memset(&subscriber->queue, 0, sizeof(subscriber->queue));
}

static void queue_append(struct subscriber *subscriber, struct frame *frame)
{
    if (subscriber->queue.count == subscriber->queue.capacity)
        queue_grow(subscriber);
    subscriber->queue.frames[(subscriber->queue.first + subscriber->queue.count++) & (subscriber->queue.capacity - 1)] =
        frame_ref(frame);
    subscriber->queue.bytes += frame->body;
    metric_add(COUNT_QUEUED_BYTES, frame->body);
}

static void flush(struct subscriber *subscriber)
{
    if (!subscriber->busy && subscriber->queue.count != 0)
        subscriber->transport->flush(subscriber);
    if (subscriber->state != SUBSCRIBER_CLOSED)
        hub_quicken(subscriber);
}

void subscriber_writable(struct subscriber *subscriber)
{
    subscriber->busy = false;
    flush(subscriber);
}

void subscriber_push(struct subscriber *subscriber, struct frame *frame)
{
    subscriber_push_rest(subscriber, frame, 0);
}

void subscriber_push_rest(struct subscriber *subscriber, struct frame *frame, uint32_t offset)
{
    if (subscriber->state == SUBSCRIBER_CLOSED)
        return;
    size_t live = subscriber->queue.bytes - subscriber->queue.replayed;
    if (live != 0 && live + frame->body > hub_queue_bytes(subscriber->hub)) {
        subscriber_close(subscriber, CLOSE_QUEUE_FULL);
        return;
    }
    queue_append(subscriber, frame);
    if (offset != 0)
        subscriber->queue.offset = offset;
    flush(subscriber);
}

void subscriber_replay(struct subscriber *subscriber, struct frame *const *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; ++i) {
        queue_append(subscriber, frames[i]);
        subscriber->queue.replayed += frames[i]->body;
    }
    flush(subscriber);
}

void subscriber_written(struct subscriber *subscriber, uint32_t written, uint32_t offset)
{
    assert(written <= subscriber->queue.count);
    for (uint32_t i = 0; i < written; ++i) {
        struct frame *frame = subscriber_queued(subscriber, 0);
        subscriber->queue.first = (subscriber->queue.first + 1) & (subscriber->queue.capacity - 1);
        --subscriber->queue.count;
        subscriber->queue.bytes -= frame->body;
        subscriber->queue.replayed -= frame->body < subscriber->queue.replayed ? frame->body : subscriber->queue.replayed;
        metric_add(COUNT_QUEUED_BYTES, -(int64_t)frame->body);
        metric_add(COUNT_BYTES_OUT, frame->body);
        frame_unref(frame);
    }
    subscriber->queue.offset = offset;
    if (written != 0 || offset != 0)
        subscriber->active_ms = hub_now(subscriber->hub);
    if (subscriber->queue.count == 0 && subscriber->queue.capacity > QUEUE_KEPT)
        queue_clear(subscriber);
}

static bool orderly(enum close_reason reason)
{
    return reason == CLOSE_SHUTDOWN;
}

void subscriber_close(struct subscriber *subscriber, enum close_reason reason)
{
    if (subscriber->state == SUBSCRIBER_CLOSED)
        return;
    metric_add(COUNT_CLOSES + reason, 1);
    metric_add(COUNT_STREAMS, -1);
    hub_part(subscriber);
    subscriber->state = SUBSCRIBER_CLOSED;
    subscriber->transport->close(subscriber, orderly(reason));
}

void subscriber_free(struct subscriber *subscriber)
{
    queue_clear(subscriber);
    free(subscriber);
}
