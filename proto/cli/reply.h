/* What a server's answer means for a client that may try again, and how to say it. Pure. */
#pragma once

#include "proto/cli/buffer.h"

enum { REPLY_BODY_MAX = 4096 }; /* bytes of a refusal's body that are looked at */

enum reply {
    REPLY_GOOD, /* 200 */
    REPLY_END, /* 204: there is no more, don't come back */
    REPLY_LATER, /* it may pass: 408, 425, 429, 500, 502, 503, 504 */
    REPLY_REFUSED, /* it won't */
};

/* `status`: of HTTP; 0 when there was no answer. */
enum reply reply_of(long status);

/* Adds "429 Too Many Requests: sentence", the sentence from the body ({"error":"sentence"}) when it has one. `to`: the Location of a redirect, or NULL. */
void reply_print(struct buffer *out, long status, struct slice body, const char *to);

/* Adds the texts of the array that stands in the JSON object `body` as `name`, a line each. False when there are not `count` of them. */
bool reply_list(struct buffer *out, struct slice body, const char *name, size_t count);

/* Adds the text that stands in the JSON object `body` as `name`. False when there is none. */
bool reply_member(struct buffer *out, struct slice body, const char *name);
