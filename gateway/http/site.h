/* What the HTTP side knows of the gateway, and of the worker on whose thread a request is. */
#pragma once

#include <stdatomic.h>

#include "gateway/stream/hub.h"
#include "runtime/auth/access.h"
#include "runtime/limits.h"
#include "runtime/net/forwarded.h"

struct feed;

/* Shared by all workers: set before they start and then only read, but for the atomics. What it points to is borrowed. */
struct site {
    const char *node; /* the name of this process; see struct service */
    const char *cors_origins; /* checked by cors_origins_check() */
    bool force_ssl, demo;
    uint32_t max_channels; /* MAX_CHANNELS; 0: no limit */
    int tls_port; /* of the public port; 0 without TLS */
    const struct proxies *proxies;
    struct limits *limits;
    struct {
        struct feed *feed; /* NULL until the bus is there: before the first request */
        bool (*usable)(struct feed *feed); /* all connections to Redis are ready; any thread */
        size_t (*room)(struct feed *feed); /* how many new channels there may be; any thread */
        bool (*promise)(struct feed *feed, uint32_t fresh); /* keeps room for them, until they come or give_back(); any thread */
        void (*give_back)(struct feed *feed, uint32_t fresh);
        bool (*behind)(struct feed *feed); /* workers have asked for more than it has done; any thread */
    } bus;
    struct {
        const char *text; /* PUBLISHER_URL */
        h2o_url_t url; /* … parsed */
        size_t max_under_way;
        h2o_handler_t *proxy; /* upstream.c's */
        _Atomic size_t under_way; /* POSTs */
        _Atomic bool away;
        _Atomic uint64_t failed_ms; /* the last failure */
        _Atomic int64_t failures; /* since it went away */
    } publisher;
};

/* One worker's part of it. Worker thread only. */
struct site_worker {
    struct site *site;
    h2o_context_t ctx; /* serves its requests */
    struct hub *hub;
    struct access *access; /* NULL: everything is open */
    SSL_CTX *publisher_tls; /* upstream.c's: in place of the proxy's first one; NULL: that serves still */
    bool draining;
};

static inline struct site_worker *site_worker_of(h2o_req_t *req)
{
    return H2O_STRUCT_FROM_MEMBER(struct site_worker, ctx, req->conn->ctx);
}

static inline struct site *site_of(h2o_req_t *req)
{
    return site_worker_of(req)->site;
}
