/* A body of application/x-ndjson turned into events: each line a JSON object with the members data, event, id, retry, end, lease and, where a line names its
 * channel, channel. Pure. Sentences stand in a buffer of the calling thread until its next call. */
#pragma once

#include "proto/bus/publish_request.h"

struct line {
    unsigned number; /* from 1; blank lines, which are passed over, count */
    struct slice channel; /* checked by channel_check(); p NULL where lines name none */
    struct publish_event event; /* checked; with `end` its data may be empty: only the end is published */
};

/* On the heap, until lines_free(): at most PUBLISH_EVENTS_MAX lines, and no more bytes than the body. Zeroed, it is empty. */
struct lines {
    struct line *items;
    size_t count;
    char *bytes; /* what the slices point to */
};

/* `named`: each line names its channel, and the end of a channel is the last of its lines; else the end is the last line. `retry_ms`: of lines without a retry.
 * NULL, or "line 3: what is wrong with it" and *status; nothing is left then. */
const char *lines_read(struct lines *lines, struct slice body, bool named, int32_t retry_ms, int *status);

void lines_free(struct lines *lines);
