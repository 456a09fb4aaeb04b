/* The bearer token of a request (RFC 6750 section 2), wherever it stands. */
#pragma once

#include "runtime/h2o.h"

struct bearer_options {
    const char *cookie; /* its name; "": none is looked at */
    bool query; /* whether access_token counts */
};

struct bearer {
    struct slice token; /* {NULL, 0} without; borrowed from the request */
    bool by_cookie;
};

/* Looks in the Authorization header, the cookie and the query. NULL, or a static sentence for a 400: more than one Authorization
 * header, more than one token, or none where one should be. An Authorization of another scheme is no token. */
const char *bearer_find(struct bearer *bearer, h2o_req_t *req, const struct bearer_options *options);
