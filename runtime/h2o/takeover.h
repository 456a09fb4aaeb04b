/* Takes an HTTP/1.1 socket over from libh2o after a response head of our own. */
#pragma once

#include "runtime/h2o.h"

/* Writes `head` (in the request's pool) and detaches the socket; then on_done(data, sock) gets it, or NULL when the connection died. The
 * request and its pool are gone by then. Never calls back before it returns. */
void takeover(h2o_req_t *req, h2o_iovec_t head, void (*on_done)(void *data, h2o_socket_t *sock), void *data);
