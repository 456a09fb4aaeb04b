/* Limits how much of a turn of the loop requests may take, in both protocols, so that streams get their events and no client waits for another's hundred requests.
 * Requests are begun for 2 ms of a turn; what is left over waits for a later one, and its connection is not read meanwhile. A connection that has begun a request in this turn lets others go
 * first: while some wait, one that has begun none begins at once, for half of the time, and of those that wait each begins one request in its turn. So a client that sends one request at a time does not
 * queue behind those that send many. */
#pragma once

#include <stdbool.h>

#include "runtime/h2o.h"

/* Of one connection; zeroed at first. */
struct pace {
    h2o_linklist_t waiting; /* linked while requests that came wait */
    void (*resume)(struct pace *pace);
};

/* Whether a request that came on this thread's loop must not be begun now. `connection` tells connections apart, no more. It is to be read no more then, and to call pace_wait(). */
bool pace_must_wait(h2o_loop_t *loop, const void *connection);

/* Calls resume() in a later turn. It may close its connection, begin one request, and wait again. */
void pace_wait(struct pace *pace, h2o_loop_t *loop, const void *connection, void (*resume)(struct pace *pace));

/* While `on`, no request begins on this thread: what earlier ones set going is not done yet. */
void pace_hold(bool on);

/* It waits no more. */
void pace_forget(struct pace *pace);
