/* Redis's format, RESP2: a request is an array of bulk strings. https://redis.io/docs/latest/develop/reference/protocol-spec/ */
#pragma once

#include <hiredis/hiredis.h>

#include "runtime/h2o.h"

/* Appends a command to the buffer; argv is copied. */
void resp_write(h2o_buffer_t **out, const struct slice *argv, size_t argc);

/* A bulk string of an answer, which owns its bytes; {NULL, 0} for anything else. */
static inline struct slice resp_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? slice_make(reply->str, reply->len) : (struct slice){NULL, 0};
}
