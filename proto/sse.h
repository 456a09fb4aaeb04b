/* The text/event-stream format: WHATWG HTML section 9.2.5 and 9.2.6.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html */
#pragma once

#include "proto/event.h"

/* Bytes of the data lines alone: each line break makes seven of one or two. */
size_t sse_data_size(struct slice data);

/* Writes the lines in the order event, data, id, retry, each "name: value" and LF, and the blank line that ends the event: the
 * gateway's own events. What authors publish is written by proto/bus/sse.lua, and forwarded as it is. `out` has room
 * for sse_size() bytes. Trusts the event: its fields were checked at the edge. Returns the bytes written; with `out` NULL it only
 * counts them. */
size_t sse_write(char *out, const struct event *event);

/* Exact bytes that sse_write() will write for `event`. */
static inline size_t sse_size(const struct event *event)
{
    return sse_write(NULL, event);
}

/* What a stream of events says of itself. Without the charset some clients take it for ISO 8859-1; without no-transform proxies
 * compress it, and hold it back until they have enough. */
#define SSE_CONTENT_TYPE "text/event-stream; charset=utf-8"
#define SSE_CACHE_CONTROL "no-store, no-transform"

/* The comment that begins a stream and keeps it alive while it is idle. No blank line follows: some clients fire an empty event
 * for that. It stands between events, never inside one. */
#define SSE_COMMENT SLICE(":\n")

/* What sse_check() found in an encoded event; views into the bytes it was given. */
struct sse_fields {
    struct slice type; /* empty without an `event` line */
    struct slice
        data; /* from after the first "data: " to before the LF of the last data line, further lines and all; p NULL without */
    struct slice id; /* p NULL without an `id` line */
    struct slice retry; /* p NULL without a `retry` line */
};

/* NULL when `bytes` is exactly one event as sse_write() writes them: at most one event line, then data lines, then at most one id
 * and one retry line, each within the rules of a stored event, then the one blank line, at the very end; no CR anywhere. So bytes
 * from the bus that pass can be forwarded as they are: they can hold no second event and no field of anyone else's. Else a static
 * sentence. `fields` may be NULL. */
const char *sse_check(struct slice bytes, struct sse_fields *fields);
