/* A worker thread. */
#pragma once

#include "gateway/gateway.h"

/* Starts the thread of gateway->workers[number] with its loop, context and hub. Everything libh2o makes is made on the thread that uses it: its buffers
 * come from pools of the thread. Waits three times at gateway->barrier:
 * when its hub is there, until the feed is, and when it accepts. */
void worker_start(struct worker *worker, struct gateway *gateway, uint32_t number);
