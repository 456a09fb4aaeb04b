/* A worker's half of every channel: who listens here, and the fan-out to them. One per worker, so no locks. Worker thread only.
 *
 * The fan-out walks a compact array. A stream that has nothing queued and a plain HTTP/1.1 socket is written to straight from the walk: one
 * send(2), nothing allocated, counted or even read of the stream itself. All others take the way through their queue. */
#pragma once

#include "gateway/subscriber.h"

struct hub_options {
    h2o_loop_t *loop;
    h2o_multithread_queue_t *queue; /* of that loop */
    uint32_t worker;                /* its number among the feed's workers */
    size_t queue_bytes;
    uint32_t keepalive_ms;
    int32_t retry_ms;
};

struct hub *hub_create(const struct hub_options *options);

/* Where the feed sends struct tell. */
h2o_multithread_receiver_t *hub_tells(struct hub *hub);

/* Where the hub sends struct ask; set once, before the first join. */
void hub_connect(struct hub *hub, h2o_multithread_receiver_t *asks);

/* Does what the bus told and frees what was closed; after every turn of the worker's loop. A large fan-out is done in slices: true when there
 * is more, so that the loop must not sleep. */
bool hub_turn(struct hub *hub);

/* Asks the bus to open `subscriber` on its channels: names[i] (checked by channel_check(), no name twice) for member i. Its frames follow the
 * answer. */
void hub_join(struct subscriber *subscriber, const struct slice *names, enum start_mode mode, uint32_t last);

/* For the subscriber: out of all channels and of the keep-alive wheel, into the graveyard. */
void hub_part(struct subscriber *subscriber);

/* For the subscriber: it changed between idle and waiting, so the arrays' short cut to its socket is set or taken away. */
void hub_quicken(struct subscriber *subscriber);

/* When something was last written to this stream, by its channels' fan-outs or its own queue: milliseconds of the loop's clock. */
uint64_t hub_active(const struct subscriber *subscriber);

/* For the subscriber and its transport: frees it soon if it is closed, detached and owed nothing. */
void hub_bury(struct subscriber *subscriber);

size_t hub_queue_bytes(const struct hub *hub);
uint64_t hub_now(const struct hub *hub);
h2o_loop_t *hub_loop(const struct hub *hub);
