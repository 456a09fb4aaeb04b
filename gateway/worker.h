/* A worker thread. */
#pragma once

#include "gateway/gateway.h"

/* Starts the thread of gateway->workers[number] with its loop, context and hub. Everything libh2o makes is made on the thread that uses it: its buffers
 * come from pools of the thread. Waits three times at gateway->barrier:
 * when its hub is there, until the feed is, and when it accepts. */
void worker_start(struct worker *worker, struct gateway *gateway, uint32_t number);

/* From the main thread: stop accepting, end the streams evenly over this time; the loop goes on until the process ends. */
void worker_drain(struct worker *worker, uint64_t duration_ms);

/* From the main thread: new connections get this certificate. Takes a reference of its own. */
void worker_set_tls(struct worker *worker, SSL_CTX *tls);
