/* Reading a POST: what it asks to be published, or what is wrong with it. Nothing is sent from here. */
#pragma once

#include "proto/bus/publish.h"
#include "publisher/body.h"
#include "publisher/options.h"

enum post_route { POST_LEGACY /* /post */, POST_CHANNEL /* /channels/{name} */ };

struct post {
    enum post_route route;
    struct publish_request publish; /* checked; its slices live in the request, its data in `body` or the request */
    struct body body; /* body_free() it */
};

/* NULL and *post, or the sentence for the client and its *status; a 405 has its Allow header set already, a refusal for a token its WWW-Authenticate. */
const char *post_read(struct post *post, h2o_req_t *req, const struct options *options, int *status);
