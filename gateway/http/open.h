/* From a request for a stream to a subscriber: what its query and headers ask for. Its token is read in routes.c, may_subscribe().
 * Worker thread. */
#pragma once

#include "gateway/http/site.h"

enum {
    STREAM_CHANNELS_MAX = 100,
    STREAM_PLACES = 256,
    STREAM_LAST_MAX = 100000,
    STREAM_LIMIT_MAX = 1000,
    STREAM_WAIT_MAX_S = 60,
    STREAM_END_MAX = 200, /* bytes of `end` */
};

struct stream_request {
    struct hub_spec spec; /* stream_serve() adds what comes of the request */
    struct slice subject; /* of its token, for limits and log; {NULL, 0}: no token, or every channel is open to anyone */
    uint32_t count;
    struct slice channels[STREAM_CHANNELS_MAX]; /* borrowed from the request or static */
    uint8_t places[STREAM_PLACES]; /* open.c's own: where a name is among them, by hash */
};

/* Each NULL or an error sentence for a 400. A channel named twice counts once. */
const char *stream_add_channel(struct stream_request *stream, struct slice name);

/* Reads the Last-Event-ID header, else `last_event_id` and its other names, then `last` (a stream that resumes has no use for it);
 * except on the routes of version 1 (FORM_FULL) `place`, `gap`, `envelope` and `end`, for FORM_JSON `limit` and `wait`; and with `many`
 * every `channel`, of which there must be one at least. */
const char *stream_read_query(struct stream_request *stream, h2o_req_t *req, bool many);

/* Opens it: the head with the bus's answer, or after a second without one, and then the events; where its form is FORM_JSON, one
 * answer with both. A HEAD request gets the head alone. False, with *why, when it cannot be. */
bool stream_serve(h2o_req_t *req, struct stream_request *stream, struct refusal *why);

/* Answers the request with the refusal, and logs it. */
void stream_refuse(h2o_req_t *req, const struct stream_request *stream, const struct refusal *why);
