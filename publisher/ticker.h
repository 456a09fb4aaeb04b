/* Tickers: at each boundary of its interval a ticker publishes one event under a key that all replicas share. */
#pragma once

#include "proto/bus/publish.h"
#include "publisher/options.h"

/* main thread only */
struct ticker {
    enum tick_kind kind;
    uint32_t interval_ms;
    h2o_socket_t *clock; /* a timerfd on the wall clock, which is what replicas have in common; NULL when stopped */
    uint64_t last; /* number of the newest tick that was sent; 0: none */
    struct publish *bus;
    const struct options *options;
};

/* Starts it on the loop. A tick that falls while the bus is down is left out, never kept for later. `bus` and `options` are
 * borrowed. */
void ticker_start(struct ticker *ticker, h2o_loop_t *loop);
void ticker_stop(struct ticker *ticker);
