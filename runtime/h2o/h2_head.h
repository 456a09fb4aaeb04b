/* What libh2o 2.2.5 does not look at in the head of an HTTP/2 request: how much work a header block is before it is decoded, and
 * what RFC 9113 does not allow in one. Pure. */
#pragma once

#include "runtime/h2o.h"

/* How many instructions (RFC 7541 section 6: fields, insertions, table sizes) the header block holds; counting stops above `max`,
 * or where the block is broken, which the library refuses. Each is at least a byte of the block and costs the library up to 130
 * bytes and a look at the table, so it is counted before. */
size_t h2_head_instructions(const uint8_t *block, size_t n, size_t max);

/* NULL when the request may stand as it is (RFC 9113 sections 8.2, 8.2.2 and 8.3.1, RFC 9110 section 8.6), else a static sentence. `lengths`: how
 * many content-length fields it has. The fields Host, which must agree with :authority, are taken out; where there is no :authority Host
 * becomes it. What HTTP/1.1 refuses in a path or a host is refused here, too: the gateway passes both on over HTTP/1.1. */
const char *h2_head_check(h2o_req_t *req, size_t lengths);
