/* Ends one stream of an HTTP/2 connection at once, although h2o still holds data for it; the connection and its other streams go on. libh2o 2.2.5 has no
 * public call for that. */
#pragma once

#include "runtime/h2o.h"

/* RST_STREAM with CANCEL (RFC 9113 section 7). The request may be gone when it returns. Not from within a callback of h2o for this request. */
void h2_reset(h2o_req_t *req);
