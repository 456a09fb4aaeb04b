/* Where a request really came from and over which scheme, when proxies that we trust stand between. */
#pragma once

#include "runtime/net/cors.h"
#include "runtime/net/proxies.h"

/* The request as its sender meant it: X-Forwarded-Proto, -Host and -Port count only when the peer is a trusted proxy. Views into the
 * request. */
struct origin {
    bool https;
    bool forwarded; /* a trusted proxy told the scheme */
    struct slice host; /* Host or X-Forwarded-Host, perhaps with ":port" */
    struct slice port; /* X-Forwarded-Port; {NULL, 0} when not told */
};
struct origin origin_of(const struct proxies *proxies, h2o_req_t *req);

/* What CORS_ORIGINS says of the page that sent this request, whose own host is origin_of()'s. */
enum cors_verdict origin_verdict(const char *origins, const struct proxies *proxies, h2o_req_t *req);

/* "https://host[:port]/path?query" for a request that must go to TLS, in the request's pool. tls_port is our own TLS listener's port, or 0
 * when somebody else terminates TLS. {NULL, 0} when host or path may not stand in a URL. */
struct slice origin_https_url(h2o_req_t *req, const struct origin *origin, int tls_port);
