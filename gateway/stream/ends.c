#include "gateway/stream/ends.h"

#include "gateway/own_events.h"

uint64_t ends_over_ms(const struct subscriber *subscriber)
{
    uint64_t over_ms = 0;
    for (uint32_t i = 0; i < subscriber->member_count; ++i) {
        uint64_t ended_ms = subscriber->members[i].fanout->channel->ended_ms;
        if (ended_ms == 0)
            return 0;
        over_ms = ended_ms > over_ms ? ended_ms : over_ms;
    }
    return over_ms;
}

struct frame *ends_form(const struct subscriber *subscriber, struct frame *end, const struct hub_channel *channel, uint64_t over_ms,
                        bool settled)
{
    char id[EVENT_ID_LEN + 1];
    struct variant variant = subscriber_variant(subscriber);
    bool of_time = variant.several && over_ms != 0;
    struct slice text = subscriber->end_text == NULL ? (struct slice){NULL, 0} : slice_of(subscriber->end_text);
    if (of_time)
        event_id_format_end(id, SLICE(""), (struct position){over_ms, EVENT_ID_TIME_NEAR});
    if (text.p != NULL)
        variant.form = FORM_LEAN; /* as it was asked for, also in an envelope */
    struct frame *own = of_time || text.p != NULL ? end_frame(end, text, of_time ? id : NULL) : frame_ref(end);
    settled = settled && (of_time || end->durable); /* the place of an abandoned channel is behind what others have had since */
    struct frame *frame = form_frame(own, hub_channel_name(channel), variant, settled);
    frame_unref(own);
    return frame;
}

void ends_form_page(const struct subscriber *subscriber, struct feed_update *update, uint64_t over_ms, bool fresh)
{
    struct variant variant = subscriber_variant(subscriber);
    for (uint32_t i = 0; i < update->page.count; ++i) {
        struct frame *frame = update->page.frames[i];
        if (variant_is_plain(variant) && frame->kind != FRAME_END)
            continue;
        const struct hub_channel *channel = subscriber->members[variant.several ? update->page.members[i] : 0].fanout->channel;
        uint64_t last_ms = i + 1 == update->page.count ? over_ms : 0;
        update->page.frames[i] = frame->kind == FRAME_END ? ends_form(subscriber, frame, channel, last_ms, last_ms != 0 || !fresh)
                                                          : form_frame(frame, hub_channel_name(channel), variant, true);
        frame_unref(frame);
    }
}

void ends_note(const struct subscriber *subscriber, const struct feed_request *request)
{
    for (uint32_t i = 0; i < subscriber->member_count; ++i)
        subscriber->members[i].fanout->channel->ended_ms = request->channels[i].ended_ms;
}

void ends_drop(struct feed_update *update, uint64_t over_ms)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < update->page.count; ++i) {
        struct frame *frame = update->page.frames[i];
        if (frame->kind == FRAME_END && (over_ms == 0 || i + 1 != update->page.count)) {
            frame_unref(frame);
            continue;
        }
        update->page.frames[kept] = frame;
        if (update->page.members != NULL)
            update->page.members[kept] = update->page.members[i];
        ++kept;
    }
    update->page.count = kept;
}
