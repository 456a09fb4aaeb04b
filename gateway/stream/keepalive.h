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
    uint32_t count; /* of all slots */
    struct timer timer;
    void (*on_rotate)(void *data, struct subscriber *subscriber); /* its rotate_ms is over */
    void *data;
};

void keepalive_init(struct keepalive *keepalive, h2o_loop_t *loop, uint32_t period_ms,
                    void (*on_rotate)(void *data, struct subscriber *subscriber), void *data);

/* Takes a stream in that has just been written to; it is looked at again a period later. In by its `link`. */
void keepalive_add(struct keepalive *keepalive, struct subscriber *subscriber);
void keepalive_remove(struct keepalive *keepalive, struct subscriber *subscriber);

/* Calls cb for each stream that is in; it may take that one out. */
void keepalive_each(struct keepalive *keepalive, void (*cb)(void *data, struct subscriber *subscriber), void *data);

/* Any one of those that are in; NULL: none. */
struct subscriber *keepalive_any(const struct keepalive *keepalive);
