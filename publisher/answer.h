/* What becomes of a request while the bus works on it, and how an outcome is answered. */
#pragma once

#include "proto/bus/publish_request.h"
#include "runtime/h2o.h"

/* A request that waits for the bus; the first member of a struct that waits. It outlives the request when the client goes first: the hook, which dies with the request's pool, then takes `req`
 * out. */
struct answer {
    h2o_req_t *req; /* NULL once the request is gone */
    struct answer **hook; /* in the request's pool */
    uint64_t began_us;
};

void answer_await(struct answer *answer, h2o_req_t *req, uint64_t began_us);

/* The bus has answered for so many events: counts them, and the time. */
void answer_count(const struct answer *answer, enum publish_outcome outcome, size_t events);

/* It waits no more; returns the request, or NULL. */
h2o_req_t *answer_take(struct answer *answer);

/* The status of an outcome that is a refusal; 0: it is none. */
int answer_status(enum publish_outcome outcome);

void answer_refuse(h2o_req_t *req, int status, const char *why);
