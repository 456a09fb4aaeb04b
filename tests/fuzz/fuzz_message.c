/* Input: what stands in a Redis message.
 * A batch is refused, or is exactly its header and what message_encode() makes of its messages, each of which names the one before it; of these holds the rest. A payload is refused, is plain data as it stands, or is exactly what message_encode() makes of the parts that message_decode() found. The
 * frame made of it is for a browser one event, without its id line and with all lines the same event, in an envelope one event, and its chunk is that of RFC 9112. */
#include "proto/message.h"

#include "gateway/form.h"
#include "proto/event_id.h"
#include "tests/fuzz/browser.h"
#include "tests/message.h"

struct seen {
    size_t count;
    struct text type, data, id, last_id;
};

static void on_event(void *data, struct slice type, struct slice text, struct slice last_event_id)
{
    struct seen *seen = data;
    ++seen->count;
    text_add(&seen->type, type);
    text_add(&seen->data, text);
    text_add(&seen->id, last_event_id);
}

/* What a browser sees of it whose last id is "before". */
static struct seen look(const struct frame *frame)
{
    struct seen seen = {0};
    struct browser browser = BROWSER_INIT(on_event, &seen);
    struct text stream = {NULL, 0, 0};
    text_add(&stream, SLICE("id: before\n\n"));
    text_add(&stream, frame_body(frame));
    browser_read(&browser, text_slice(&stream));
    text_add(&seen.last_id, text_slice(&browser.id));
    browser_free(&browser);
    text_free(&stream);
    return seen;
}

static void forget(struct seen *seen)
{
    text_free(&seen->type);
    text_free(&seen->data);
    text_free(&seen->id);
    text_free(&seen->last_id);
}

static void check_chunk(const struct frame *frame)
{
    struct slice chunk = frame_chunk(frame);
    char *end;
    must(strtoul(chunk.p, &end, 16) == frame->body && memcmp(end, "\r\n", 2) == 0 && end + 2 == frame->bytes + frame->head);
    must(frame->head <= FRAME_CHUNK_HEAD_MAX && memcmp(chunk.p + chunk.n - 2, "\r\n", 2) == 0);
}

static void check_frame(const struct message *message)
{
    const struct variant several = {.form = FORM_LEAN, .several = true}, all = {.form = FORM_FULL},
                         wrapped = {.form = FORM_ENVELOPE};
    struct frame *frame = frame_of_message(message, message->id), *bare = form_frame(frame, SLICE("n"), several, false);
    struct frame *full = form_frame(frame, SLICE("n"), all, true), *envelope = form_frame(frame, SLICE("n"), wrapped, true);
    struct seen whole = look(frame), without = look(bare), filled = look(full), inside = look(envelope);
    check_chunk(frame);
    check_chunk(bare);
    check_chunk(full);
    check_chunk(envelope);
    must(slice_starts(frame_body(full), SLICE("event: ")));
    must(filled.count == whole.count && slice_eq(text_slice(&filled.type), text_slice(&whole.type)) &&
         slice_eq(text_slice(&filled.data), text_slice(&whole.data)) &&
         slice_eq(text_slice(&filled.last_id), text_slice(&whole.last_id)));
    must(inside.count == whole.count && slice_eq(text_slice(&inside.last_id), text_slice(&whole.last_id)));
    if (inside.count == 1)
        must(slice_eq(text_slice(&inside.type), SLICE("message")) &&
             slice_starts(text_slice(&inside.data), SLICE("{\"channel\":\"n\",\"")));
    must(whole.count <= 1 && without.count == whole.count);
    must(slice_eq(text_slice(&whole.type), text_slice(&without.type)) &&
         slice_eq(text_slice(&whole.data), text_slice(&without.data)));
    must(slice_eq(text_slice(&without.last_id), SLICE("before")));
    must(slice_eq(text_slice(&whole.last_id), message->id.p == NULL ? SLICE("before") : message->id));
    if (whole.count == 1)
        must(slice_eq(text_slice(&whole.id), text_slice(&whole.last_id)));
    if (message->kind == MESSAGE_PLAIN)
        must(whole.count == 1 && slice_eq(text_slice(&whole.type), SLICE("message")));
    forget(&whole);
    forget(&without);
    forget(&filled);
    forget(&inside);
    frame_unref(bare);
    frame_unref(full);
    frame_unref(envelope);
    frame_unref(frame);
}

static void check_durable(const struct message *message, struct slice payload)
{
    struct sse_fields fields;
    must(position_compare(message->at, message->prev) > 0);
    must(message->at.ms < (uint64_t)1 << 48 && message->at.seq <= EVENT_ID_SEQ_MAX);
    must(message->body.p + message->body.n == payload.p + payload.n && sse_check(message->body, &fields) == NULL);
    must(message->lease_s <= MESSAGE_LEASE_MAX && (!message->end || slice_eq(fields.type, SLICE("end"))));
    size_t room = message_size(message->body.n);
    char *again = malloc(room);
    must(again != NULL);
    must(slice_eq(slice_make(again, message_encode(again, message)), payload));
    must(payload.n <= room);
    free(again);
}

static void check_batch(struct slice payload)
{
    struct message_batch batch;
    struct message message, before = {.end = false};
    size_t count = 0;
    if (message_batch_open(&batch, payload) != NULL)
        return;
    char header[16];
    struct slice rest = batch.rest;
    must(batch.left != 0 && batch.left <= MESSAGE_BATCH_MAX);
    must(slice_eq(slice_make(header, (size_t)snprintf(header, sizeof(header), "\x1esse3 %" PRIu32 "\n", batch.left)),
                  slice_make(payload.p, (size_t)(rest.p - payload.p))));
    for (size_t left = batch.left; batch.left != 0; before = message, rest = batch.rest) {
        if (message_batch_next(&batch, &message) != NULL)
            return;
        must(batch.left == left - ++count && !before.end);
        must(count == 1 || position_compare(message.prev, before.at) == 0);
        check_durable(&message, slice_make(rest.p, (size_t)(batch.rest.p - rest.p)));
        check_frame(&message);
    }
    must(batch.rest.n == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice payload = slice_make((const char *)data, size);
    struct message message;
    bool marked = size != 0 && data[0] == 0x1e;
    if (message_is_batch(payload))
        check_batch(payload);
    if (message_decode(&message, payload) != NULL) {
        must(marked);
        return 0;
    }
    must((message.kind == MESSAGE_DURABLE) == marked);
    if (marked)
        check_durable(&message, payload);
    else
        must(message.body.p == payload.p && message.body.n == payload.n && message.id.p == NULL);
    check_frame(&message);
    return 0;
}
