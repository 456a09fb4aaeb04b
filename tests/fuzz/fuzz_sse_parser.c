/* Input: a seed for the lengths of pieces, one byte; then a stream.
 * In whatever pieces the stream comes, the events, the place to resume from and the reconnect time are those of a browser that got it whole. */
#include "proto/cli/sse_parser.h"

#include "tests/fuzz/browser.h"

/* Events one after the other: each field with its length before it. */
static void add_field(struct text *out, struct slice field)
{
    text_add(out, slice_make((const char *)&field.n, sizeof(field.n)));
    text_add(out, field);
}

static void on_browser_event(void *data, struct slice type, struct slice text, struct slice last_event_id)
{
    add_field(data, type);
    add_field(data, text);
    add_field(data, last_event_id);
}

static bool on_event(void *data, const struct sse_event *event)
{
    add_field(data, event->type);
    add_field(data, event->data);
    add_field(data, event->id);
    return true;
}

static void feed_in_pieces(struct sse_parser *parser, struct slice stream, uint32_t seed)
{
    while (stream.n != 0) {
        size_t n = 1 + (seed >> 8) % (seed % 5 == 0 ? 2 : 40);
        struct slice piece = own(slice_make(stream.p, n < stream.n ? n : stream.n), false);
        must(sse_parser_feed(parser, piece) == NULL);
        stream = slice_from(stream, piece.n);
        disown(piece);
        seed = seed * 1664525 + 1013904223;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice stream = slice_make((const char *)data + 1, size - 1);
    struct text got = {NULL, 0, 0}, want = {NULL, 0, 0};
    struct browser browser = BROWSER_INIT(on_browser_event, &want);
    struct sse_parser parser;
    browser_read(&browser, stream);
    sse_parser_init(&parser, SLICE(""), on_event, &got);
    feed_in_pieces(&parser, stream, data[0]);
    must(slice_eq(text_slice(&got), text_slice(&want)));
    must(slice_eq(buffer_slice(&parser.id), text_slice(&browser.id)));
    must(parser.retry_ms == (browser.retry < SSE_PARSER_RETRY_MAX ? browser.retry : SSE_PARSER_RETRY_MAX));
    sse_parser_free(&parser);
    browser_free(&browser);
    text_free(&got);
    text_free(&want);
    return 0;
}
