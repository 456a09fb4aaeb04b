/* A one-shot timer over libh2o 2.2.5's h2o_timeout_t, which keeps one list per duration. Lives on one loop's thread. */
#pragma once

#include "runtime/h2o.h"

struct timer {
    h2o_timeout_t timeout;
    h2o_timeout_entry_t entry;
    h2o_loop_t *loop;
    void (*cb)(void *data);
    void *data;
};

/* Registers the timer with the loop, not started. Its memory must stay until timer_dispose(). */
void timer_init(struct timer *timer, h2o_loop_t *loop, void (*cb)(void *data), void *data);

/* Starts or restarts it: cb runs once, `ms` from now. May be called from its own callback. */
void timer_start(struct timer *timer, uint64_t ms);
void timer_stop(struct timer *timer);
bool timer_running(const struct timer *timer);

/* Takes it off the loop. Never from within a timer callback of the same loop: the loop is walking its list then. */
void timer_dispose(struct timer *timer);
