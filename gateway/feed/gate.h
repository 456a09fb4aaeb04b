/* Where streams wait that want channels nobody here listens to yet: each such channel costs Redis and the bus thread, so they are let in at a bounded pace, in turn by client.
 * Bus thread only. */
#pragma once

#include "gateway/messages.h"

struct gate;

struct gate_options {
    h2o_loop_t *loop;
    bool (*is_busy)(void *data); /* the bus has enough under way: nobody is let in now */
    void (*let_in)(void *data, struct feed_request *request); /* its turn has come */
    void *data;
};

struct gate *gate_open(const struct gate_options *options);

/* The request of a stream with `fresh` channels that are new: let in at once if nobody waits and the pace allows. */
void gate_put(struct gate *gate, struct feed_request *request, uint32_t fresh);

/* It waits no more; not let in. */
void gate_take_out(struct gate *gate, struct feed_request *request);

/* New channels of those that wait. */
size_t gate_waiting(const struct gate *gate);
