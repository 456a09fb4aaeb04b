/* What we keep of each client connection (see listener_options.per_connection). */
#pragma once

#include <stdint.h>

#include "runtime/limits.h"
#include "runtime/net/listener.h"

/* Of the 100 requests libh2o takes at once on an HTTP/2 connection, this many may be streams: the rest stays free for POSTs. */
enum { CONNECTION_STREAMS_MAX = 90 };

struct connection {
    uint32_t streams; /* HTTP/2 streams of ours that are open */
    bool taken_over; /* HTTP/1.1: the connection is a stream now, and nothing else any more */
    struct limits_place *place; /* … of it, or NULL; see admission.c */
};

static inline struct connection *connection_of(h2o_req_t *req)
{
    return listener_connection(req->conn->callbacks->get_socket(req->conn));
}
