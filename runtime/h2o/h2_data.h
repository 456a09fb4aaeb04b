/* Writes to one stream of an HTTP/2 connection past libh2o's request and scheduler, which cost more than the bytes of a small event do. libh2o 2.2.5 has no public
 * call for that; h2o_check() tells whether this library is the one. */
#pragma once

#include "runtime/h2o.h"
#include "runtime/slice.h"

/* Appends the bytes, as one DATA frame (RFC 9113 section 6.1), to what the connection writes at the end of this turn of the loop; they are copied. The response's
 * head must have been given to h2o_send().
 * False, and nothing was done: an earlier write still waits for the peer, or the window of the stream or the connection, the peer's frame size or the connection's
 * buffer is too small for them, or h2o has other data for the stream: then h2o_send() takes them, in pieces and when there is room. */
bool h2_data(h2o_req_t *req, struct slice bytes);

/* Brings what h2_data() will read of the request into the cache. No more than a hint. */
void h2_data_prefetch(const h2o_req_t *req);
