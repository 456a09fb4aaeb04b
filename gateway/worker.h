/* A worker thread. */
#pragma once

#include "gateway/gateway.h"

/* Gives gateway->workers[number] its context and hub on this thread's loop. Everything libh2o makes is made on the thread that uses it: its buffers come from
 * pools of the thread. */
void worker_open(struct worker *worker, struct gateway *gateway, uint32_t number, h2o_loop_t *loop);

/* How many connections each worker may have on each of the public ports. */
size_t worker_connections(const struct gateway *gateway);

/* After each turn of its loop: begins no requests while what earlier ones set going is not done, so that what waits stays bounded, however fast clients ask. */
void worker_pace(struct worker *worker);

/* Opens its ends of the public listeners. */
void worker_accept(struct worker *worker);

/* Both on a thread of its own, which then runs. Waits three times at gateway->barrier: when its hub is there, until the feed is, and when it accepts. */
void worker_start(struct worker *worker, struct gateway *gateway, uint32_t number);

/* From the main thread: stop accepting, end the streams evenly over this time; the loop goes on until the process ends. */
void worker_drain(struct worker *worker, uint64_t duration_ms);

/* From the main thread: new connections, of clients and to the publisher, use these; NULL: as before. Takes references of its own. */
void worker_set_tls(struct worker *worker, SSL_CTX *tls, SSL_CTX *publisher_tls);

/* From the main thread: new requests are judged by this. Takes a reference of its own. */
void worker_set_access(struct worker *worker, struct access *access);
