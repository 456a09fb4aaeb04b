/* "100 Continue" over HTTP/2, which libh2o 2.2.5 never sends: a client that asks for it waits, curl for a second. */
#pragma once

#include <stdbool.h>

#include "runtime/h2o.h"

struct st_h2o_http2_conn_t;

/* Whether the head asks for it. */
bool h2_continue_is_asked(const h2o_req_t *req);

/* For a request whose head was read and whose body is still to come, on this stream: writes the interim answer (RFC 9110 section 15.2.1) when the head asks for it. */
void h2_continue(struct st_h2o_http2_conn_t *conn, uint32_t stream_id, const h2o_req_t *req);
