/* The inverse of message_decode() for a durable message: what the Redis function does. */
#pragma once

#include <inttypes.h>
#include <stdio.h>

#include "proto/message.h"

/* Bytes message_encode() needs at most for a body of n bytes. */
static inline size_t message_size(size_t n)
{
    return sizeof("\x1esse1 \n") - 1 + 2 * (POSITION_TEXT_MAX - 1) + 1 + n;
}

/* Returns the bytes written. */
static inline size_t message_encode(char *out, struct position at, struct position prev, struct slice sse)
{
    char head[128];
    int n = snprintf(head, sizeof(head), "\x1esse1 %" PRIu64 "-%" PRIu64 " %" PRIu64 "-%" PRIu64 "\n", at.ms, at.seq, prev.ms,
                     prev.seq);
    memcpy(out, head, (size_t)n);
    memcpy(out + n, sse.p, sse.n);
    return (size_t)n + sse.n;
}
