/* Which browser origins may read and publish (https://fetch.spec.whatwg.org/#http-cors-protocol). Pure. */
#pragma once

#include <stdbool.h>

#include "runtime/slice.h"

/* NULL when `origins` is "*", "none", empty, or a comma-separated list of scheme://host[:port] without path; else a static sentence. */
const char *cors_origins_check(const char *origins);

enum cors_verdict {
    CORS_NONE, /* no Origin header, or the page is of this very host: nothing to add */
    CORS_LISTED, /* echo the origin, credentials allowed */
    CORS_ANY, /* "*", without credentials */
    CORS_REFUSED,
};

/* `origin` and `host` are the request's Origin and Host (or :authority), p == NULL when absent. An origin is never taken by prefix or
 * suffix: whole, and compared without case. */
enum cors_verdict cors_judge(const char *origins, struct slice origin, struct slice host);
