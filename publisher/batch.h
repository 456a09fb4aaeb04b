/* A POST of many lines on its way: one batch for each channel, and one answer. */
#pragma once

#include "proto/bus/publish.h"
#include "publisher/post.h"

/* Publishes post->lines, and answers once the bus has answered for all channels. Nothing of `post` is needed after it returns. */
void batch_send(struct publish *bus, h2o_req_t *req, const struct post *post, uint64_t began_us);
