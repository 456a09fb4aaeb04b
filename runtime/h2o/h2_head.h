/* What libh2o 2.2.5 does not look at in the head of an HTTP/2 request: how much work a header block is before it is decoded, and
 * field names and values that RFC 9113 does not allow. Pure. */
#pragma once

#include "runtime/h2o.h"

/* How many instructions (RFC 7541 section 6: fields, insertions, table sizes) the header block holds; counting stops above `max`,
 * or where the block is broken, which the library refuses. Each is at least a byte of the block and costs the library up to 130
 * bytes and a look at the table, so it is counted before. */
size_t h2_head_instructions(const uint8_t *block, size_t n, size_t max);

/* NULL when all fields may stand in a request (RFC 9113 sections 8.2 and 8.2.2), else a static sentence. */
const char *h2_head_fault(const h2o_headers_t *headers);
