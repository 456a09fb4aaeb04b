/* An event as its author wrote it, before encoding. All slices are borrowed. */
#pragma once

#include <stdint.h>

#include "runtime/slice.h"

enum {
    EVENT_TYPE_MAX = 200, /* bytes of `event` */
    EVENT_CUSTOM_ID_MAX = 200, /* bytes of an author's own `id` */
    EVENT_RETRY_MAX = 3600000, /* ms that an author may ask for: an hour */
    EVENT_RETRY_STORED_MAX = 86400000, /* ms that a stored event may hold: version 1 let authors ask for a day */
    EVENT_RETRY_NONE = -1,
};

struct event {
    struct slice type; /* the `event` field; empty: no such line (the browser takes it for "message") */
    const struct slice *data; /* each item becomes one line, or more where it holds CR, LF or CRLF */
    size_t data_count; /* 0: no data line at all, so nothing fires in the browser */
    struct slice id; /* p == NULL: no `id` line; empty but not NULL: "id:" alone, which resets the client's last id */
    int32_t retry_ms; /* EVENT_RETRY_NONE: no `retry` line */
};

/* NULL when a field may be published so, else a static sentence that names the field and the fault. Type and id are within their lengths, valid UTF-8 and free of CR,
 * LF and NUL (WHATWG HTML section 9.2.6 ignores an id with NUL; the others would start a new field). The type is none that the gateway or the browser uses itself.
 * The id comes back as the browser sent it in an HTTP header: it has no control character, and no blank at its ends. Data is free: every byte of it can be carried. */
const char *event_check_type(struct slice type);
const char *event_check_id(struct slice id);

/* The rules for a field of a stored event, which an older version may have published: only what else would break the stream. */
const char *event_check_stored_type(struct slice type);
const char *event_check_stored_id(struct slice id);

/* Whether an HTTP header brings this id back as it is. */
bool event_id_returns(struct slice id);

/* Whether the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool utf8_valid(struct slice text);
