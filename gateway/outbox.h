/* Messages of one turn of a thread's loop, sent to another thread as one: each send takes a lock and may wake the receiver, which on one core means a switch
 * there and back for every message. */
#pragma once

#include <stdbool.h>

#include "runtime/h2o.h"

struct outbox {
    h2o_multithread_receiver_t *to;
    bool local; /* the receiver is on the sender's own thread: neither lock nor wake */
    struct parcel *parcel; /* what waits; NULL: nothing */
};

/* Hands the message over; it leaves with the next outbox_send(), after those put in before. */
void outbox_put(struct outbox *outbox, h2o_multithread_message_t *message);

/* After every turn of the sender's loop; a local receiver has been called when it returns. False when there was nothing. */
bool outbox_send(struct outbox *outbox);

/* The receiver's end: moves the messages inside what it was sent to the end of `messages`, in order. */
void outbox_open(h2o_linklist_t *received, h2o_linklist_t *messages);
