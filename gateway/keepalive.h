/* The timing wheel that keeps idle streams alive with comments. One per hub; worker thread only. */
#pragma once

#include "gateway/subscriber.h"
#include "runtime/timer.h"

enum { KEEPALIVE_SLOTS = 32 };

struct keepalive {
    h2o_linklist_t slots[KEEPALIVE_SLOTS];
    uint32_t period_ms, step_ms;
    uint32_t now; /* the slot whose time it is */
    struct frame *comment;
    struct timer timer;
};

void keepalive_init(struct keepalive *keepalive, h2o_loop_t *loop, uint32_t period_ms);

/* Takes a stream in that has just been written to; it is looked at again a period later. Out again by h2o_linklist_unlink(&->link). */
void keepalive_add(struct keepalive *keepalive, struct subscriber *subscriber);
