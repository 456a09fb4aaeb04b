#include "gateway/feed/decode.h"

#include "gateway/counters.h"
#include "proto/event_id.h"
#include "runtime/log.h"

void payload_dropped(struct slice channel, const char *why)
{
    static struct log_limit limit;
    metric_add(COUNT_BUS_MALFORMED, 1);
    if (log_allowed(&limit))
        log_warn("bus message dropped", log_slice("channel", channel), log_str("error", why));
}

/* An older version let authors choose ids that no browser can send back. The client gets the one that the bus would have made: it stands for the same event. */
static struct frame *frame_with_id_of_bus(struct slice channel, const struct message *message)
{
    char id[EVENT_ID_LEN + 1];
    event_id_format(id, channel, message->at);
    return frame_of_message(message, slice_make(id, EVENT_ID_LEN));
}

static struct frame *frame_of(struct slice channel, const struct message *message)
{
    return message->kind == MESSAGE_DURABLE && !event_id_returns(message->id) ? frame_with_id_of_bus(channel, message)
                                                                              : frame_of_message(message, message->id);
}

static struct frame *payload_frame(struct slice channel, struct slice payload)
{
    struct message message;
    const char *error = message_decode(&message, payload);
    if (error == NULL)
        return frame_of(channel, &message);
    payload_dropped(channel, error);
    return NULL;
}

static size_t batch_frames(struct frame **frames, struct slice channel, struct slice payload)
{
    struct message_batch batch;
    struct message message;
    size_t count = 0;
    const char *error = message_batch_open(&batch, payload);
    while (error == NULL && batch.left != 0)
        if ((error = message_batch_next(&batch, &message)) == NULL)
            frames[count++] = frame_of(channel, &message);
    if (error == NULL)
        return count;
    while (count != 0)
        frame_unref(frames[--count]);
    payload_dropped(channel, error);
    return 0;
}

size_t payload_frames(struct frame *frames[MESSAGE_BATCH_MAX], struct slice channel, struct slice payload)
{
    if (message_is_batch(payload))
        return batch_frames(frames, channel, payload);
    frames[0] = payload_frame(channel, payload);
    return frames[0] != NULL;
}

bool payload_is_event(const struct history_entry *entry, struct message *message)
{
    return entry->payload.p != NULL && message_decode(message, entry->payload) == NULL && message->kind == MESSAGE_DURABLE &&
           position_compare(message->at, entry->at) == 0;
}

struct frame *payload_entry_frame(struct slice channel, const struct history_entry *entry)
{
    struct frame *frame = entry->payload.p == NULL ? NULL : payload_frame(channel, entry->payload);
    if (frame == NULL || (frame->durable && position_compare(frame->at, entry->at) == 0))
        return frame;
    frame_unref(frame);
    return NULL;
}
