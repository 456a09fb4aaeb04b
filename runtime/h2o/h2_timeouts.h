/* Which streams of an HTTP/2 connection took too long. libh2o 2.2.5 has no time limit for them. */
#pragma once

#include "runtime/h2o.h"
#include "runtime/h2o/h2_abuse.h"

struct st_h2o_http2_conn_t;

enum { H2_TIMEOUTS_PERIOD_MS = 1000, H2_TIMEOUTS_FOUND_MAX = 32 };

struct h2_timeouts {
    uint32_t turns;
    uint32_t idle_turns; /* in a row */
    uint64_t requests; /* there had been by the last turn */
};

/* What a turn found: streams to reset, or that the connection as a whole should end. */
struct h2_timeouts_found {
    enum h2_abuse abuse; /* H2_NO_ABUSE: nothing */
    bool all; /* the whole connection */
    h2o_req_t *requests[H2_TIMEOUTS_FOUND_MAX]; /* else these */
    size_t count;
};

/* Call it every H2_TIMEOUTS_PERIOD_MS. `requests`: how many there were on the connection so far; `answer_ms`: how long an answer
 * may lie untaken. */
void h2_timeouts_turn(struct h2_timeouts *timeouts, struct st_h2o_http2_conn_t *conn, uint64_t requests, uint32_t answer_ms,
                      struct h2_timeouts_found *found);
