#include "gateway/stream/batch.h"

void batch_append(struct batch *batch, struct feed_update *event)
{
    event->event.next = NULL;
    if (batch->tail != NULL)
        batch->tail->event.next = event;
    batch->tail = event;
}

static bool is_plain(const struct feed_update *event)
{
    return !event->event.unsettled && !frame_retry_is_long(event->event.frame);
}

static bool may_join(const struct feed_update *first, const struct feed_update *next)
{
    return first->super.link.next == &next->super.link && is_plain(first) && is_plain(next);
}

void batch_join(struct batch *batch, struct feed_update *first, bool shared, size_t max_bytes)
{
    struct frame *frames[BATCH_EVENTS] = {first->event.frame};
    struct feed_update *last = first, *next;
    size_t count = 1, bytes = first->event.frame->body;
    while ((next = last->event.next) != NULL && count != BATCH_EVENTS) {
        bytes += next->event.frame->body;
        if (bytes > max_bytes || (shared && !may_join(first, next)))
            break;
        frames[count++] = frame_ref(next->event.frame);
        h2o_linklist_unlink(&next->super.link);
        if (last != first)
            feed_update_free(last);
        last = next;
    }
    if (batch->tail == last)
        batch->tail = NULL;
    first->event.next = NULL;
    if (last == first)
        return;
    feed_update_free(last);
    first->event.frame = frame_join(frames, count);
    for (size_t i = 0; i != count; ++i)
        frame_unref(frames[i]);
}
