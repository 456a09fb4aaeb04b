/* Frames that we write to an HTTP/2 connection ourselves, where libh2o 2.2.5 has no public call or a dear one; h2o_check() tells whether this library is the one. */
#pragma once

#include "runtime/h2o.h"

struct st_h2o_http2_conn_t;

/* Appends the bytes, as one DATA frame (RFC 9113 section 6.1), to what the connection writes at the end of this turn of the loop; they are copied. So they go past libh2o's
 * request and scheduler, which cost more than the bytes of a small event do. The response's head must have been given to h2o_send().
 * False, and nothing was done: an earlier write still waits for the peer, or the window of the stream or the connection, the peer's frame size or the connection's
 * buffer is too small for them, or h2o has other data for the stream: then h2o_send() takes them, in pieces and when there is room. */
bool h2_write_data(h2o_req_t *req, struct slice bytes);

/* Brings what h2_write_data() will read of the request into the cache. No more than a hint. */
void h2_write_prefetch(const h2o_req_t *req);

/* Ends one stream at once, with RST_STREAM and CANCEL (RFC 9113 section 7), although h2o still holds data for it; the connection and its other streams go on. The request may be
 * gone when it returns. Not from within a callback of h2o for this request. */
void h2_write_reset(h2o_req_t *req);

/* Whether the head asks for "100 Continue", which libh2o never sends: a client that asks for it waits, curl for a second. */
bool h2_write_wants_continue(const h2o_req_t *req);

/* For a request whose head was read and whose body is still to come, on this stream: writes the interim answer (RFC 9110 section 15.2.1) when the head asks for it. */
void h2_write_continue(struct st_h2o_http2_conn_t *conn, uint32_t stream_id, const h2o_req_t *req);
