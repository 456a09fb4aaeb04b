/* Reading a POST: what it asks to be published, or what is wrong with it. Nothing is sent from here. */
#pragma once

#include "proto/bus/publish.h"
#include "publisher/body.h"
#include "publisher/lines.h"
#include "publisher/options.h"

enum post_route { POST_LEGACY /* /post */, POST_CHANNEL /* /channels/{name} */, POST_CHANNELS /* /channels */ };

struct post {
    enum post_route route;
    struct publish_request publish; /* checked; its slices live in the request, its data in `body` or the request */
    struct body body;
    struct lines lines; /* of many events, in place of the one: `publish` holds only what counts for all of them */
    bool *granted; /* of POST_CHANNELS, in the request's pool: whether each line's channel may be published to; NULL: all may */
};

/* NULL and *post, or the sentence for the client and its *status; a 405 has its Allow header set already, a refusal for a token its WWW-Authenticate. In both
 * cases post_free() it. */
const char *post_read(struct post *post, h2o_req_t *req, const struct options *options, int *status);
void post_free(struct post *post);
