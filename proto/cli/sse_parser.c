#include "proto/cli/sse_parser.h"

static const char line_too_long[] = "a line of the stream is longer than 80 MiB";
static const char event_too_long[] = "an event of the stream is longer than 80 MiB";

void sse_parser_init(struct sse_parser *parser, struct slice id, bool (*on_event)(void *data, const struct sse_event *event),
                     void *data)
{
    *parser = (struct sse_parser){.on_event = on_event, .data = data, .retry_ms = -1};
    buffer_add(&parser->id, id, SSE_PARSER_MAX);
    sse_parser_begin(parser);
}

static void set(struct buffer *buffer, struct slice value)
{
    buffer_clear(buffer);
    buffer_add(buffer, value, SSE_PARSER_MAX);
}

/* The standard starts each stream with an empty id; then an event without one, right after a reconnect, would lose the place. Browsers keep it, too. */
void sse_parser_begin(struct sse_parser *parser)
{
    buffer_clear(&parser->line);
    buffer_clear(&parser->type);
    buffer_clear(&parser->text);
    set(&parser->next_id, buffer_slice(&parser->id));
    parser->bom = 0;
    parser->after_cr = parser->enough = false;
}

static void dispatch(struct sse_parser *parser)
{
    struct slice text = buffer_slice(&parser->text), type = buffer_slice(&parser->type);
    set(&parser->id, buffer_slice(&parser->next_id));
    if (text.n != 0) {
        struct sse_event event = {.type = type.n == 0 ? SLICE("message") : type,
                                  .data = slice_make(text.p, text.n - 1), /* without the LF after the last line */
                                  .id = buffer_slice(&parser->id)};
        parser->enough = !parser->on_event(parser->data, &event);
    }
    buffer_clear(&parser->text);
    buffer_clear(&parser->type);
}

static void take_retry(struct sse_parser *parser, struct slice value)
{
    int64_t ms = 0;
    for (size_t i = 0; i != value.n; ++i) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return;
        ms = ms * 10 + (value.p[i] - '0');
        ms = ms > SSE_PARSER_RETRY_MAX ? SSE_PARSER_RETRY_MAX : ms;
    }
    if (value.n != 0)
        parser->retry_ms = ms;
}

static const char *take_field(struct sse_parser *parser, struct slice name, struct slice value)
{
    if (slice_eq(name, SLICE("data")))
        return buffer_add(&parser->text, value, SSE_PARSER_MAX) && buffer_add(&parser->text, SLICE("\n"), SSE_PARSER_MAX)
                   ? NULL
                   : event_too_long;
    if (slice_eq(name, SLICE("event")))
        set(&parser->type, value);
    else if (slice_eq(name, SLICE("id")) && (value.n == 0 || memchr(value.p, '\0', value.n) == NULL))
        set(&parser->next_id, value);
    else if (slice_eq(name, SLICE("retry")))
        take_retry(parser, value);
    return NULL;
}

static const char *take_line(struct sse_parser *parser, struct slice line)
{
    if (line.n == 0) {
        dispatch(parser);
        return NULL;
    }
    struct slice value = line, name = slice_split(&value, ':');
    if (value.p == NULL)
        value = SLICE("");
    else if (slice_starts(value, SLICE(" ")))
        value = slice_from(value, 1);
    return take_field(parser, name, value); /* a comment is a field without a name, which nobody knows */
}

/* Drops a byte order mark, which may come in pieces; what only began like one belongs to the first line. */
static struct slice skip_mark(struct sse_parser *parser, struct slice bytes)
{
    static const char mark[] = "\xef\xbb\xbf";
    while (parser->bom < 3 && bytes.n != 0) {
        if (bytes.p[0] != mark[parser->bom]) {
            buffer_add(&parser->line, slice_make(mark, parser->bom), SSE_PARSER_MAX);
            parser->bom = 3;
            break;
        }
        ++parser->bom;
        bytes = slice_from(bytes, 1);
    }
    return bytes;
}

static size_t line_length(struct slice bytes)
{
    const char *lf = memchr(bytes.p, '\n', bytes.n);
    size_t n = lf == NULL ? bytes.n : (size_t)(lf - bytes.p);
    const char *cr = memchr(bytes.p, '\r', n);
    return cr == NULL ? n : (size_t)(cr - bytes.p);
}

/* The line that ends here: what came before of it, and this. */
static const char *end_line(struct sse_parser *parser, struct slice rest)
{
    if (parser->line.n == 0)
        return take_line(parser, rest);
    if (!buffer_add(&parser->line, rest, SSE_PARSER_MAX))
        return line_too_long;
    const char *fault = take_line(parser, buffer_slice(&parser->line));
    buffer_clear(&parser->line);
    return fault;
}

const char *sse_parser_feed(struct sse_parser *parser, struct slice bytes)
{
    bytes = skip_mark(parser, bytes);
    while (bytes.n != 0 && !parser->enough) {
        if (parser->after_cr && bytes.p[0] == '\n') {
            parser->after_cr = false;
            bytes = slice_from(bytes, 1);
            continue;
        }
        size_t n = line_length(bytes);
        struct slice piece = slice_make(bytes.p, n);
        parser->after_cr = n != bytes.n && bytes.p[n] == '\r';
        if (n == bytes.n)
            return buffer_add(&parser->line, piece, SSE_PARSER_MAX) ? NULL : line_too_long;
        const char *fault = end_line(parser, piece);
        if (fault != NULL)
            return fault;
        bytes = slice_from(bytes, n + 1);
    }
    return NULL;
}

void sse_parser_free(struct sse_parser *parser)
{
    buffer_free(&parser->id);
    buffer_free(&parser->line);
    buffer_free(&parser->type);
    buffer_free(&parser->text);
    buffer_free(&parser->next_id);
}
