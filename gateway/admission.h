/* The limits of runtime/limits at a request: whether it may become a stream, or publish. What is refused is answered here, with 429. */
#pragma once

#include "gateway/gateway.h"

/* True with *place taken for the stream, which gives it back itself when it, or a request that became none, is gone; NULL when no limit wants one.
 * Before anything else is done for the request that costs. */
bool admission_open(struct gateway *gateway, h2o_req_t *req, struct limits_place **place);

/* Whether this subject of a token may have that stream, too. */
bool admission_subject(h2o_req_t *req, struct limits_place *place, struct slice subject);

/* Whether the request may be passed on to the publisher. */
bool admission_publish(struct gateway *gateway, h2o_req_t *req);

/* Answers 429 and counts it. */
void admission_refuse(h2o_req_t *req, enum limit limit, unsigned retry_s);
