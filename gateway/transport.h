/* The three ends a stream may have: a plain HTTP/1.1 socket, the same over TLS, one stream of an HTTP/2 connection. Worker thread only. */
#pragma once

#include "gateway/subscriber.h"

extern const struct transport transport_plain, transport_tls, transport_h2;

/* The one for this request. */
const struct transport *transport_of(h2o_req_t *req);

/* The socket that the fan-out may write chunks to by itself while the stream has nothing queued; -1 when there is no such short cut. */
int transport_direct_fd(const struct subscriber *subscriber);
