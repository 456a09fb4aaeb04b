/* The messages between the bus thread and the workers, and nothing else crosses. Each travels a h2o_multithread queue, first in first out
 * in each direction; the receiver owns and frees it. */
#pragma once

#include "gateway/frame.h"
#include "proto/event_id.h"
#include "runtime/h2o.h"

struct hub_channel; /* a worker's end of a channel; the bus thread only hands the pointer back */
struct subscriber;  /* likewise */

/* What a stream asks for when it opens. */
enum start_mode {
    START_FRESH, /* from now on */
    START_LAST,  /* the newest `last` events of each channel first */
};

/* Worker to bus. */
struct ask {
    h2o_multithread_message_t super;
    enum { ASK_JOIN, ASK_LEAVE } kind;
    uint32_t worker;
    /* ASK_LEAVE: the worker has no listener of channels[0] left; answered by TELL_LEFT */
    /* ASK_JOIN: a stream opens; answered by exactly one TELL_WELCOME, however long the bus is down */
    struct subscriber *subscriber;
    enum start_mode mode;
    uint32_t last;
    struct ask *next; /* bus thread only: the next that waits at the same channel */
    uint32_t count;
    struct ask_channel {
        void *feed; /* bus thread only */
        struct hub_channel *local;
        char *name; /* malloc'd, NUL-terminated; freed with the ask */
    } channels[];
};

struct ask *ask_create(uint32_t count);
void ask_free(struct ask *ask);

/* Bus to worker. */
struct tell {
    h2o_multithread_message_t super;
    enum { TELL_EVENT, TELL_WELCOME, TELL_LEFT } kind;
    union {
        struct {
            struct hub_channel *channel;
            struct frame *frame; /* one reference */
        } event;
        struct {
            struct subscriber *subscriber;
            char position[EVENT_ID_LEN + 1]; /* the id that stands for this place in the stream */
            uint32_t count;
            struct frame **frames; /* to replay, oldest first; malloc'd, one reference each */
        } welcome;
        struct hub_channel *left;
    };
};

void tell_free(struct tell *tell);
