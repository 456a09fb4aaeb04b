/* What the gateway does with a POST before its publisher gets it: who has no right to publish is refused here, and the head is made
 * cheap to pass on. */
#pragma once

#include "gateway/gateway.h"

/* Whether this request may publish on the channel: JWT_KEY_FILE and POLICY_FILE, as the publisher itself judges. False when it was
 * answered. */
bool forward_allowed(h2o_req_t *req, struct slice channel);

/* Makes one field each of those that libh2o's proxy would join one by one, copying all before at each: cookie, via and
 * x-forwarded-for (proxy.c, build_request_merge_headers()). */
void forward_merge_fields(h2o_req_t *req);
