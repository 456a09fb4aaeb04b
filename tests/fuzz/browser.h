/* What a browser makes of a text/event-stream: WHATWG HTML section 9.2.6, written from the text of the standard and sharing no code with
 * proto/sse.c, which it judges. */
#pragma once

#include "tests/fuzz/fuzz.h"

struct browser {
    /* An event is dispatched; the slices die with the call. May be NULL. */
    void (*on_event)(void *data, struct slice type, struct slice text, struct slice last_event_id);
    void *data;
    size_t dispatched;
    long long retry; /* the reconnection time, ms; -1: not told */
    struct text id; /* the last event ID string */
    /* the parser's own */
    struct text id_buffer, type_buffer, data_buffer;
};

#define BROWSER_INIT(cb, cb_data)                        \
    {                                                    \
        .on_event = (cb), .data = (cb_data), .retry = -1 \
    }

/* A whole stream, from its first byte to its end. */
void browser_read(struct browser *browser, struct slice stream);

void browser_free(struct browser *browser);
