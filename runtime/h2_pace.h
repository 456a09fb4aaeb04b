/* How much of a turn of the loop HTTP/2 requests may take. A turn reads up to 256 connections, and each may hold a hundred requests:
 * together they would take a quarter of a second, in which no stream gets its events. What is left over waits for a later turn. */
#pragma once

#include <stdbool.h>

#include "runtime/h2o.h"

/* Of one connection; zeroed at first. */
struct h2_pace {
    h2o_linklist_t waiting; /* linked while requests that came wait */
    void (*resume)(struct h2_pace *pace);
};

/* Whether no more requests should be begun in this turn of this thread's loop. */
bool h2_pace_is_spent(h2o_loop_t *loop);

/* Calls resume() in a later turn, of who waits longest first. */
void h2_pace_wait(struct h2_pace *pace, h2o_loop_t *loop, void (*resume)(struct h2_pace *pace));

/* It waits no more. */
void h2_pace_forget(struct h2_pace *pace);
