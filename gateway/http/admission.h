/* The limits of runtime/limits at a request: whether it may become a stream, or publish. What is refused is answered here. */
#pragma once

#include "gateway/gateway.h"
#include "gateway/http/open.h"

/* True with *place taken for the stream, which gives it back itself when it, or a request that became none, is gone; NULL when no limit wants one.
 * Before anything else is done for the request that costs. */
bool admission_open(struct gateway *gateway, h2o_req_t *req, struct limits_place **place);

/* Whether this subject of a token may have that stream, too. */
bool admission_subject(h2o_req_t *req, struct limits_place *place, struct slice subject);

/* Whether the request may be passed on to the publisher. */
bool admission_publish(struct gateway *gateway, h2o_req_t *req);

/* Whether the stream may bring up those of its channels that nobody here listens to. Sets stream->start.client. */
bool admission_channels(struct gateway *gateway, h2o_req_t *req, struct stream_request *stream);

/* Answers 429, or 503 where it is nobody's fault in particular, and counts it. */
void admission_refuse(h2o_req_t *req, enum limit limit, unsigned retry_s);
