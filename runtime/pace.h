/* Limits how much of a turn of the loop requests may take, in both protocols. A turn reads up to 256 connections, and each may hold a hundred requests or a megabyte
 * of them:
 * together they would take a quarter of a second, in which no stream gets its events. Requests are begun for 2 ms of a turn; what is
 * left over waits for a later one. While connections wait, each begins one request in its turn, and newcomers queue behind them. */
#pragma once

#include <stdbool.h>

#include "runtime/h2o.h"

/* Of one connection; zeroed at first. */
struct pace {
    h2o_linklist_t waiting; /* linked while requests that came wait */
    void (*resume)(struct pace *pace);
};

/* Whether a request that came on this thread's loop must not be begun now. Its connection is to be read no more, and to call pace_wait(). */
bool pace_must_wait(h2o_loop_t *loop);

/* Calls resume() in a later turn, the one that waits longest first. It may close its connection, begin one request, and wait again. */
void pace_wait(struct pace *pace, h2o_loop_t *loop, void (*resume)(struct pace *pace));

/* While `on`, no request begins on this thread: what earlier ones set going is not done yet. */
void pace_hold(bool on);

/* It waits no more. */
void pace_forget(struct pace *pace);
