/* What is said first on a new connection, and what the answers mean: AUTH, HELLO, ROLE, SELECT, CLIENT SETNAME, PING, as far as they are needed. */
#pragma once

#include <hiredis/hiredis.h>

#include "proto/bus/topology.h"

struct greeting {
    const struct topology *topology;
    const char *name;
    bool authenticate; /* else a sentinel is told the password of REDIS_URL when it asks for one, and no sooner: few have one */
    unsigned steps; /* whose answers are to come; the lowest bit first */
    char why[160];
};

void greeting_begin(struct greeting *greeting, const struct topology *topology, const char *name);

/* Appends the commands to the buffer; returns how many answers they will have. */
size_t greeting_write(struct greeting *greeting, h2o_buffer_t **out);

enum greeting_result {
    GREETING_MORE, /* answers are to come */
    GREETING_DONE, /* ready */
    GREETING_AGAIN, /* it wants a password: to be written once more */
    GREETING_FAILED, /* greeting->why says it */
};

/* The answers, in order. */
enum greeting_result greeting_answer(struct greeting *greeting, const redisReply *reply);
