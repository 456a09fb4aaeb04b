/* The handshake on a new connection, and what its answers mean: AUTH, HELLO, ROLE, SELECT, CLIENT SETNAME, PING, as far as they are needed. */
#pragma once

#include <hiredis/hiredis.h>

#include "runtime/redis/topology.h"

struct handshake {
    const struct topology *topology;
    const char *name;
    bool authenticate; /* else a sentinel is told the password of REDIS_URL when it asks for one, and not before: few have one */
    unsigned steps; /* whose answers are to come; the lowest bit first */
    char why[160];
};

void handshake_begin(struct handshake *handshake, const struct topology *topology, const char *name);

/* Appends the commands to the buffer; returns how many answers they will have. */
size_t handshake_write(struct handshake *handshake, h2o_buffer_t **out);

enum handshake_result {
    HANDSHAKE_MORE, /* answers are to come */
    HANDSHAKE_DONE, /* ready */
    HANDSHAKE_AGAIN, /* it wants a password: to be written once more */
    HANDSHAKE_FAILED, /* handshake->why says it */
};

/* The answers, in order. */
enum handshake_result handshake_answer(struct handshake *handshake, const redisReply *reply);
