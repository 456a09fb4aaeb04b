/* The timing wheel that looks at every stream once a keep-alive period or sooner: an idle one gets a comment, one whose peer vanished is closed, one that
 * has lasted long enough is handed to be ended. One per hub; worker thread only. */
#pragma once

#include "gateway/stream/subscriber.h"
#include "runtime/timer.h"

enum { KEEPALIVE_SLOTS = 32 };

struct keepalive {
    h2o_linklist_t slots[KEEPALIVE_SLOTS];
    uint32_t period_ms, step_ms;
    uint32_t now; /* the slot whose time it is */
    struct frame *comment; /* SSE_COMMENT */
    struct timer timer;
    void (*on_rotate)(void *data, struct subscriber *subscriber); /* its rotate_ms is over */
    void *data;
};

void keepalive_init(struct keepalive *keepalive, h2o_loop_t *loop, uint32_t period_ms,
                    void (*on_rotate)(void *data, struct subscriber *subscriber), void *data);

/* Takes a stream in that has just been written to; it is looked at again a period later. Out again by h2o_linklist_unlink(&->link). */
void keepalive_add(struct keepalive *keepalive, struct subscriber *subscriber);

/* Calls cb for each stream that is in; it may take that one out. */
void keepalive_each(struct keepalive *keepalive, void (*cb)(void *data, struct subscriber *subscriber), void *data);

/* How many streams are in, and any one of them (NULL: none); for the drain. */
uint32_t keepalive_count(const struct keepalive *keepalive);
struct subscriber *keepalive_any(const struct keepalive *keepalive);
