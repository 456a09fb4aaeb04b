/* A request that gets its events as one JSON answer: at once, or when the first one comes (long polling). To the hub it is a stream whose head is held until it has something
 * to say: what is in its queue then is the answer, as transport_poll writes it. Worker thread only. */
#pragma once

#include "gateway/stream/subscriber.h"
#include "gateway/stream/transport.h"

/* What a request that polls asks for. */
struct poll_spec {
    uint32_t limit; /* events, at most; 1 or more */
    uint32_t wait_ms; /* 0: the answer is what is there */
};

/* Lives in the request's pool. */
struct poll {
    struct poll_spec spec;
    struct slice resume_id; /* the client's, which is where it still is when nothing came; {NULL, 0}: `position` is */
    char position[EVENT_ID_LEN + 1]; /* before the events; "" until the feed has answered */
    char next[EVENT_ID_LEN + 1]; /* where the client goes on, if not from the last event's id; "": it does */
    uint64_t asked_ms; /* of the loop's clock */
    uint64_t last_ms; /* of the latest of its events */
    bool ended; /* all of its channels have, and nothing is behind the answer */
    bool more; /* there are events behind those of the answer */
    size_t memory; /* MEMORY_LIMIT */
};

static inline bool poll_is(const struct subscriber *subscriber)
{
    return subscriber->transport == &transport_poll;
}
