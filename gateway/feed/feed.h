/* The bus thread's work: subscribes to what the workers listen to, keeps each channel in order (channel.h), and hands events to the workers.
 * Everything here runs on one thread; workers send requests to feed_requests(); besides, they call only
 * what says "Any thread". */
#pragma once

#include "gateway/feed/ring.h"
#include "gateway/messages.h"
#include "runtime/redis/read_preference.h"

struct feed;

struct feed_options {
    h2o_loop_t *loop;
    h2o_multithread_queue_t *queue; /* of that loop */
    h2o_multithread_receiver_t *getaddr; /* see struct redis_options */
    const struct redis_url *url; /* borrowed */
    uint64_t redis_timeout_ms;
    struct read_preference_weights weights; /* all 0 where the bus is no cluster */
    uint32_t ring_frames; /* see struct ring_limits */
    size_t ring_bytes, ring_memory;
    h2o_multithread_receiver_t *const *workers; /* where each worker takes struct feed_update; read at the start */
    uint32_t worker_count;
    size_t max_channels; /* 0: no limit */
    bool local; /* the only worker is on this same thread */
    void (*on_node)(void *data, struct slice text); /* see feed_hear_nodes(); the text dies after the call */
    void *data;
};

struct feed *feed_open(const struct feed_options *options);

/* Where workers send struct feed_request, each by an outbox of its own. */
h2o_multithread_receiver_t *feed_requests(struct feed *feed);

/* Does what workers asked, and ends channels whose lease is over, for a part of a turn of the bus thread's loop; once a turn. True when there is more, so that the loop must not
 * sleep: between two parts it hears Redis, so that live events wait for nobody's new channels. */
bool feed_take_requests(struct feed *feed);

/* Whether workers have asked for more than that. Any thread. */
bool feed_is_behind(struct feed *feed);

/* Sends on what the last turn of the bus thread's loop has for the workers; after every turn. False when there was nothing. */
bool feed_turn(struct feed *feed);

/* Tells all nodes; a text of ANNOUNCE_MAX bytes at most. Lost while Redis is away. */
void feed_announce(struct feed *feed, struct slice json);

/* Starts or stops passing what all nodes announce, this one included, to options.on_node. Calls alternate: on, off, on … */
void feed_hear_nodes(struct feed *feed, bool on);

/* How many new channels may come into being; another thread's answer may be old by a moment. Any thread. */
size_t feed_room(struct feed *feed);

/* Keeps room for so many new channels until the request that brings them (request->promised) is here, or the promise is given back. False: there is no room for all. Any thread. */
bool feed_promise(struct feed *feed, uint32_t fresh);
void feed_give_back(struct feed *feed, uint32_t fresh);

/* Whether all connections to Redis are ready. Any thread. */
bool feed_usable(struct feed *feed);

/* NULL while all connections to Redis are ready and messages come back, else why not; for /readyz, on the bus thread. `feed` is a struct feed. */
const char *feed_why(void *feed);
