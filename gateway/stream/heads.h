/* The streams of a worker whose response heads are held until the feed has answered, so that a refusal can still be the answer. Worker thread only. */
#pragma once

#include "gateway/stream/subscriber.h"
#include "runtime/timer.h"

struct heads {
    h2o_linklist_t streams; /* by subscriber->slow, oldest first */
    h2o_linklist_t polls; /* likewise, those that are watched next first: requests that poll */
    struct timer look; /* runs while there are any */
    uint64_t polls_ms; /* when those were last looked at */
    void (*on_due)(void *data, struct subscriber *subscriber);
    void *data;
};

/* `on_due(data, subscriber)` is called when the rotate_ms of a request that polls is over. */
void heads_init(struct heads *heads, h2o_loop_t *loop, void (*on_due)(void *data, struct subscriber *subscriber), void *data);

/* Holds the request's head until the stream is opened or closed; opens it when that takes too long, and closes it when its client has hung up. */
void heads_hold(struct heads *heads, struct subscriber *subscriber, h2o_req_t *req);

/* The same of a request that polls, which is not opened. */
void heads_hold_poll(struct heads *heads, struct subscriber *subscriber, h2o_req_t *req);
