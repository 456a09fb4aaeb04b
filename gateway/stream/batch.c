#include "gateway/stream/batch.h"

void batch_append(struct batch *batch, struct feed_update *event)
{
    event->event.next = NULL;
    if (batch->tail != NULL)
        batch->tail->event.next = event;
    batch->tail = event;
}

static bool may_join(const struct feed_update *first, const struct feed_update *next)
{
    return first->event.frame->kind == FRAME_EVENT && next->event.frame->kind == FRAME_EVENT;
}

void batch_gather(struct batch *batch, struct feed_update *first, bool shared, size_t max_bytes)
{
    struct feed_update *last = first, *next;
    size_t count = 1, bytes = first->event.frame->body;
    for (; (next = last->event.next) != NULL && count != BATCH_EVENTS && may_join(first, next); ++count) {
        bytes += next->event.frame->body;
        if (bytes > max_bytes || (shared && first->super.link.next != &next->super.link))
            break;
        h2o_linklist_unlink(&next->super.link);
        last = next;
    }
    if (batch->tail == last)
        batch->tail = NULL;
    last->event.next = NULL;
}

static struct frame *frame_of(const struct feed_update *event, struct slice channel, struct variant variant)
{
    return form_frame(event->event.frame, channel, variant, !event->event.unsettled);
}

struct frame *batch_frame(const struct feed_update *first, struct slice channel, struct variant variant)
{
    struct frame *frames[BATCH_EVENTS], *frame = frame_of(first, channel, variant);
    size_t count = 0;
    if (first->event.next == NULL)
        return frame;
    frames[count++] = frame;
    for (const struct feed_update *event = first->event.next; event != NULL; event = event->event.next)
        frames[count++] = frame_of(event, channel, variant);
    struct frame *joined = frame_join(frames, count);
    for (size_t i = 0; i != count; ++i)
        frame_unref(frames[i]);
    return joined;
}

void batch_free(struct feed_update *first)
{
    for (struct feed_update *event = first->event.next, *next; event != NULL; event = next) {
        next = event->event.next;
        feed_update_free(event);
    }
    first->event.next = NULL;
}
