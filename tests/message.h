/* The inverse of message_decode() for a durable message: what the Redis function does. */
#pragma once

#include <inttypes.h>
#include <stdio.h>

#include "proto/message.h"

/* Bytes message_encode() needs at most for a body of n bytes. */
static inline size_t message_size(size_t n)
{
    return sizeof("\x1esse2  end lease=86400\n") - 1 + 2 * (POSITION_TEXT_MAX - 1) + 1 + n;
}

/* Of a durable message; of version 2 only where it has to be. Returns the bytes written. */
static inline size_t message_encode(char *out, const struct message *message)
{
    char lease[24] = "";
    bool has_words = message->end || message->lease_s != 0;
    if (message->lease_s != 0)
        snprintf(lease, sizeof(lease), " lease=%" PRIu32, message->lease_s);
    size_t n = (size_t)snprintf(
        out, message_size(message->body.n), "\x1esse%d %" PRIu64 "-%" PRIu64 " %" PRIu64 "-%" PRIu64 "%s%s\n", has_words ? 2 : 1,
        message->at.ms, message->at.seq, message->prev.ms, message->prev.seq, message->end ? " end" : "", lease);
    memcpy(out + n, message->body.p, message->body.n);
    return n + message->body.n;
}
