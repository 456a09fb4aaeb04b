/* One JSON text (RFC 8259) through yajl, and what yajl lets through that is none. Pure. Sentences that name a place are written to a buffer of the calling
 * thread and stand until its next call. */
#pragma once

#include <yajl/yajl_parse.h>

#include "runtime/slice.h"

enum { JSON_DEPTH_MAX = 64 /* objects and arrays within each other, for callbacks to keep to */ };

/* NULL when the text is UTF-8, else the sentence that says where it is not. `what` begins it: "the text body". */
const char *json_check_utf8(const char *what, struct slice text);

/* Walks through exactly one value. NULL, or what is wrong and where, begun by `what`: "the JSON body". Where a callback ended the walk, it is a sentence that
 * the caller replaces by its own. Callbacks may have run before a fault is found. */
const char *json_parse(const char *what, struct slice json, const yajl_callbacks *callbacks, void *data);
