/* The limits of runtime/limits at a request: whether it may become a stream, or publish. Each function returns false, with *why,
 * when it may not, and counts that; the caller answers. Memory is judged elsewhere: see "When memory is short" in
 * gateway/README.md. Worker thread. */
#pragma once

#include "gateway/http/site.h"

/* Before anything that costs is done for the request. On true *place is reserved, or NULL where no limit applies. The stream gives
 * it back when it ends; if the request never becomes a stream, it is given back with the request. */
bool admission_open(h2o_req_t *req, struct limits_place **place, struct refusal *why);

/* Whether this subject of a token ({NULL, 0}: none) may have that stream, too. */
bool admission_subject(struct limits_place *place, struct slice subject, struct refusal *why);

/* Whether the connection may have one more stream; HTTP/2 only. Its place is given back with the request. */
bool admission_connection(h2o_req_t *req, struct refusal *why);

/* Whether the stream may bring up those of its channels that nobody here listens to; a refusal without retry_s is for ever. Sets
 * spec->client and spec->promised, for which room is kept then, where some are new to this worker. */
bool admission_channels(h2o_req_t *req, struct hub_spec *spec, struct refusal *why);

/* Whether the request may be passed on to the publisher. */
bool admission_publish(h2o_req_t *req, struct refusal *why);
