/* What a POST says, turned into the data of one event. Pure: knows neither the request nor the bus. For its sentences see json.h. */
#pragma once

#include "runtime/seeded_hash.h"
#include "runtime/slice.h"

enum body_kind { BODY_NONE, BODY_JSON, BODY_FORM, BODY_TEXT, BODY_LINES /* application/x-ndjson: lines.h */ };

/* A query or form parameter, decoded and UTF-8. */
struct body_param {
    struct slice name;
    struct slice value;
    /* body.c's own */
    bool dropped; /* something later of that name counts */
    UT_hash_handle hh;
};

/* Data on the heap, until body_free(); zeroed, it is empty. */
struct body {
    struct slice data;
    void *gen;
};

/* Which kind a Content-Type header announces, BODY_NONE for the absent one ({NULL, 0}). NULL, or why a body of that type or charset
 * can't be taken (415). */
const char *body_kind_of(enum body_kind *kind, struct slice content_type);

/* A compact JSON object of the parameters, all values strings, the last of a repeated name. */
void body_from_params(struct body *body, struct body_param *params, size_t count);

/* The one JSON value of `json`, compact: numbers as they were written, object members in their order. With parameters it becomes an
 * object: they are added to an object's members where it has none of that name; another value stands under "_json" beside them.
 * NULL, or what is wrong and where; the body is empty then. */
const char *body_from_json(struct body *body, struct slice json, struct body_param *params, size_t count);

void body_free(struct body *body);
