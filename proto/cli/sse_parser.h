/* Reads text/event-stream as it comes, in pieces of any size: WHATWG HTML section 9.2.6. Pure. The bytes of fields stay as they are: what is not UTF-8 is the reader's
 * to replace. */
#pragma once

#include <stdint.h>

#include "proto/cli/buffer.h"

enum { SSE_PARSER_MAX = 80 << 20 }; /* bytes of one line, and of one event's data: above what any server of ours sends */

struct sse_event {
    struct slice type; /* "message" when the stream names none */
    struct slice data; /* lines joined by LF */
    struct slice id; /* the last id of the stream, this event's or an earlier one's; may be empty */
};

struct sse_parser {
    /* Called for each event; the slices die with the call. False: enough, the rest of the stream is not read. */
    bool (*on_event)(void *data, const struct sse_event *event);
    void *data;
    struct buffer id; /* where to resume from; it counts once the blank line behind it was read */
    int64_t retry_ms; /* what the stream said last, at most SSE_PARSER_RETRY_MAX; -1: nothing yet */
    /* the parser's own */
    struct buffer line, type, text, next_id;
    unsigned bom; /* how many bytes of a byte order mark were seen; 3: past the place for one */
    bool after_cr, enough;
};

enum { SSE_PARSER_RETRY_MAX = 86400000 };

/* `id` is where the first stream resumes from; empty: nowhere. */
void sse_parser_init(struct sse_parser *parser, struct slice id, bool (*on_event)(void *data, const struct sse_event *event),
                     void *data);

/* A stream begins: what the one before it left unfinished is dropped, id and retry stay. */
void sse_parser_begin(struct sse_parser *parser);

/* NULL, or a static sentence when a line or an event is too long; the stream can't be read on then. */
const char *sse_parser_feed(struct sse_parser *parser, struct slice bytes);

void sse_parser_free(struct sse_parser *parser);
