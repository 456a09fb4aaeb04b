/* Detects a stuck event loop: a thread's loop beats once an interval, and another thread's loop counts the missing beats. A process that stood still as a
 * whole (SIGSTOP, a paused machine) misses none: the watching thread stood still with it. */
#pragma once

#include <stdatomic.h>

#include "runtime/timer.h"

enum {
    PULSE_MS = 1000, /* the usual interval */
    PULSE_MISSED = 30, /* in a row, and the loop counts as stuck; a long turn is no reason to end a process full of streams */
};

struct watchdog {
    const char *name; /* of the thread, for the log; borrowed */
    uint64_t interval_ms;
    struct timer beat; /* on the watched loop */
    _Atomic uint32_t beats;
    struct timer watch; /* on the watching loop, as what follows */
    uint32_t seen, missed;
};

/* On the thread of the watched loop. *pulse zeroed but for its name and interval; it stays as long as both loops. */
void watchdog_beat(struct watchdog *pulse, h2o_loop_t *loop);

/* On the thread of the watching loop. */
void watchdog_watch(struct watchdog *pulse, h2o_loop_t *loop);

/* An admin_check of the watching thread; data is the pulse: NULL, or that the loop is stuck. */
const char *watchdog_why(void *data);
