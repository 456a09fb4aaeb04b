/* The text/event-stream format: WHATWG HTML section 9.2.5 and 9.2.6. https://html.spec.whatwg.org/multipage/server-sent-events.html */
#pragma once

#include "proto/event.h"

/* Exact bytes that sse_write() will write for `event`. */
size_t sse_size(const struct event *event);

/* Writes the lines in the order event, data, id, retry, each "name: value" and LF, and the blank line that ends the event. `out` has
 * room for sse_size() bytes. Trusts the event: event_check() ran at the edge. Returns the bytes written. */
size_t sse_write(char *out, const struct event *event);

/* The comment that keeps an idle stream alive. */
#define SSE_KEEPALIVE SLICE(":\n\n")

/* What sse_check() found in an encoded event; views into the bytes it was given. */
struct sse_fields {
    struct slice type; /* empty without an `event` line */
    struct slice
        data; /* from after the first "data: " to before the LF of the last data line, further lines and all; p NULL without */
    struct slice id; /* p NULL without an `id` line */
};

/* NULL when `bytes` is exactly one event as sse_write() writes them: at most one event line, then data lines, then at most one id
 * and one retry line, each within event_check()'s rules, then the one blank line, at the very end; no CR anywhere. So bytes from the
 * bus that pass can be forwarded as they are: they can hold no second event and no field of anyone else's. Else a static sentence.
 * `fields` may be NULL. */
const char *sse_check(struct slice bytes, struct sse_fields *fields);
