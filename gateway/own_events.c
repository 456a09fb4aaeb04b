#include "gateway/own_events.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/channel.h"
#include "proto/event_id.h"
#include "proto/sse.h"
#include "runtime/h2o.h"
#include "runtime/json.h"
#include "runtime/log.h"

struct frame *welcome_frame(enum welcome welcome, const char *position, int32_t retry_ms)
{
    struct slice letter = SLICE("{\"msg\":\"a\"}");
    struct event event = {.id = slice_of(position), .retry_ms = retry_ms};
    if (welcome == WELCOME_NOTHING)
        return NULL;
    if (welcome == WELCOME_LETTER) {
        event.type = SLICE("message");
        event.data = &letter;
        event.data_count = 1;
    }
    return frame_of_event(&event);
}

struct frame *abandoned_frame(struct slice channel, struct position at)
{
    char id[EVENT_ID_LEN + 1], text[CHANNEL_KEY_MAX + 64];
    event_id_format_end(id, channel, at);
    /* nothing in a name has to be escaped */
    struct slice data = slice_make(
        text, (size_t)snprintf(text, sizeof(text), "{\"channel\":\"%.*s\",\"reason\":\"abandoned\"}", (int)channel.n, channel.p));
    struct frame *frame = frame_of_event(
        &(struct event){.type = SLICE("end"), .data = &data, .data_count = 1, .id = slice_of(id), .retry_ms = EVENT_RETRY_NONE});
    frame->kind = FRAME_END;
    frame->at = at;
    return frame;
}

struct frame *end_frame(const struct frame *end, struct slice text, const char *id)
{
    struct sse_fields fields = {.id = {NULL, 0}};
    sse_check(frame_body(end), &fields);
    struct slice data = text.p != NULL ? text : slice_split(&fields.data, '\n');
    struct event event = {.type = text.p != NULL ? SLICE("") : fields.type,
                          .data = &data,
                          .data_count = 1,
                          .id = id != NULL ? slice_of(id) : fields.id,
                          .retry_ms = EVENT_RETRY_NONE};
    struct frame *frame = frame_of_event(&event);
    frame->kind = FRAME_END;
    return frame;
}

struct frame *farewell_frame(int32_t retry_ms)
{
    return frame_of_event(&(struct event){.retry_ms = retry_ms});
}

struct frame *comment_frame(void)
{
    static _Thread_local struct frame *comment;
    return comment != NULL ? comment : (comment = frame_of_bytes(SSE_COMMENT));
}

static void count_gap(struct slice channel, struct slice last_event_id, enum gap_cause cause)
{
    static struct log_budget budget;
    int64_t left_out;
    metric_add((size_t)COUNT_GAPS + cause, 1);
    if (log_budget_take(&budget, &left_out))
        log_info("gap sent", log_slice("cause", counters_gap_cause(cause)), log_slice("channel", channel),
                 log_slice("last_event_id", last_event_id), log_int("left_out", left_out));
}

struct frame *gap_frame(struct slice channel, struct slice last_event_id, struct slice own_id, struct position at,
                        enum gap_cause cause)
{
    count_gap(channel, last_event_id, cause);
    char *text =
        h2o_mem_alloc(sizeof("{\"channel\":,\"last_event_id\":}") + json_quoted_max(channel.n) + json_quoted_max(last_event_id.n));
    char *end = stpcpy(text, "{\"channel\":");
    end = stpcpy(end + json_quote(end, channel), ",\"last_event_id\":");
    end = stpcpy(end + json_quote(end, last_event_id), "}");
    struct slice data = slice_make(text, (size_t)(end - text));
    struct event event = {.type = SLICE("gap"), .data = &data, .data_count = 1, .id = own_id, .retry_ms = EVENT_RETRY_NONE};
    struct frame *frame = frame_of_event(&event);
    frame->kind = FRAME_GAP;
    frame->at = at;
    free(text);
    return frame;
}
