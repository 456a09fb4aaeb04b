/* The streams of a worker whose response heads are held until the feed has answered, so that a refusal can still be the answer. Worker thread only. */
#pragma once

#include "gateway/stream/subscriber.h"
#include "runtime/timer.h"

struct heads {
    h2o_linklist_t streams; /* by subscriber->slow, oldest first */
    struct timer look; /* runs while there are any */
};

void heads_init(struct heads *heads, h2o_loop_t *loop);

/* Holds the request's head until the stream is opened or closed; opens it when that takes too long, and closes it when its client has hung up. */
void heads_hold(struct heads *heads, struct subscriber *subscriber, h2o_req_t *req);
