#include "proto/cli/sse_parser.h"

#include "tests/unit/vectors.h"

/* What a stream is expected to give, and how much of it came. */
struct expected {
    struct vector_rows events;
    size_t count;
    bool same;
};

static bool on_event(void *data, const struct sse_event *event)
{
    struct expected *expected = data;
    if (expected->count < expected->events.len) {
        yajl_val *want = expected->events.values[expected->count]->u.array.values;
        expected->same = expected->same && slice_eq(event->type, vector_value(want[0])) &&
                         slice_eq(event->data, vector_value(want[1])) && slice_eq(event->id, vector_value(want[2]));
    }
    ++expected->count;
    return true;
}

/* Feeds the stream in pieces of `step` bytes, each of which ends where its memory does. */
static void read_in_pieces(yajl_val row, size_t step)
{
    struct slice bytes = vector_bytes(row, "bytes"), id = vector_bytes(row, "id");
    const char *name = vector_text(row, "name");
    yajl_val events = vector_get(row, "events");
    struct expected expected = {.same = true};
    struct sse_parser parser;
    if (!YAJL_IS_ARRAY(events))
        vector_die("no events", name);
    expected.events = (struct vector_rows){YAJL_GET_ARRAY(events)->values, YAJL_GET_ARRAY(events)->len};
    sse_parser_init(&parser, SLICE(""), on_event, &expected);
    for (size_t at = 0; at < bytes.n; at += step) {
        struct slice piece = exact_copy(slice_make(bytes.p + at, bytes.n - at < step ? bytes.n - at : step));
        check(sse_parser_feed(&parser, piece) == NULL, "%s: bytes %zu to %zu are taken", name, at, at + piece.n);
        exact_free(piece);
    }
    check(expected.count == expected.events.len, "%s: %zu events, by %zu bytes", name, expected.events.len, step);
    check(expected.same, "  and they are the right ones");
    check_slice(buffer_slice(&parser.id), id.p == NULL ? SLICE("") : id, "  and so is the place to resume from");
    check(parser.retry_ms == vector_integer(row, "retry", -1), "  and retry");
    sse_parser_free(&parser);
}

static void test_vectors(yajl_val file)
{
    struct vector_rows rows = vector_rows(file, "read");
    for (size_t i = 0; i != rows.len; ++i) {
        static const size_t steps[] = {1, 2, 3, 7, 1000};
        for (size_t j = 0; j != sizeof(steps) / sizeof(steps[0]); ++j) {
            vector_used = 0;
            read_in_pieces(rows.values[i], steps[j]);
        }
    }
}

static size_t events_seen;
static char ids_seen[100], texts_seen[100];

static bool on_any(void *data, const struct sse_event *event)
{
    const size_t *most = data;
    snprintf(ids_seen, sizeof(ids_seen), "%.*s", (int)event->id.n, event->id.p);
    snprintf(texts_seen, sizeof(texts_seen), "%.*s", (int)event->data.n, event->data.p);
    return ++events_seen != *most;
}

static void test_reconnect(void)
{
    size_t most = 0;
    struct sse_parser parser;
    events_seen = 0;
    sse_parser_init(&parser, SLICE("start"), on_any, &most);
    check_slice(buffer_slice(&parser.id), SLICE("start"), "the place to start from is the first id");
    sse_parser_feed(&parser, SLICE("data: a\n\nid: 2\nretry: 40\ndata: b\n\nid: 3\nevent: x\ndata: lost\ndata: ha"));
    check_slice(buffer_slice(&parser.id), SLICE("2"), "the id of an event that was cut off does not count");
    sse_parser_begin(&parser);
    sse_parser_feed(&parser, SLICE("\xef\xbb\xbf"
                                   "data: c\n\n"));
    check(events_seen == 3 && strcmp(texts_seen, "c") == 0,
          "what was cut off is no part of the next stream, which may have a mark");
    check(strcmp(ids_seen, "2") == 0 && parser.retry_ms == 40, "id and retry stay");
    sse_parser_begin(&parser);
    sse_parser_feed(&parser, SLICE("\ndata: d\r"));
    sse_parser_begin(&parser);
    sse_parser_feed(&parser, SLICE("\ndata: e\n\n"));
    check(events_seen == 4 && strcmp(texts_seen, "e") == 0, "an LF at the start of a stream is none of the last one's CR");
    sse_parser_free(&parser);
}

static void test_enough(void)
{
    size_t most = 2;
    struct sse_parser parser;
    events_seen = 0;
    sse_parser_init(&parser, SLICE(""), on_any, &most);
    sse_parser_feed(&parser, SLICE("id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\n"));
    check(events_seen == 2 && parser.enough, "reading ends where the reader has enough");
    check_slice(buffer_slice(&parser.id), SLICE("2"), "and so does the place to resume from");
    sse_parser_free(&parser);
}

static void test_too_long(void)
{
    enum { PIECE = 1 << 20 };
    size_t most = 0, fed = 0;
    char *piece = malloc(PIECE);
    struct sse_parser parser;
    const char *fault = NULL;
    if (piece == NULL)
        abort();
    memset(piece, 'x', PIECE);
    sse_parser_init(&parser, SLICE(""), on_any, &most);
    for (; fault == NULL && fed < 2 * (size_t)SSE_PARSER_MAX; fed += PIECE)
        fault = sse_parser_feed(&parser, slice_make(piece, PIECE));
    check(fault != NULL && fed <= (size_t)SSE_PARSER_MAX + PIECE, "a line without an end is refused: %s", fault);
    sse_parser_begin(&parser);
    memcpy(piece, "data:", 5);
    piece[PIECE - 1] = '\n';
    for (fault = NULL, fed = 0; fault == NULL && fed < 2 * (size_t)SSE_PARSER_MAX; fed += PIECE)
        fault = sse_parser_feed(&parser, slice_make(piece, PIECE));
    check(fault != NULL && fed <= (size_t)SSE_PARSER_MAX + PIECE, "an event without an end is refused: %s", fault);
    sse_parser_free(&parser);
    free(piece);
}

int main(void)
{
    yajl_val file = vector_file("stream.json");
    test_vectors(file);
    yajl_tree_free(file);
    test_reconnect();
    test_enough();
    test_too_long();
    return check_end();
}
