/* Signals as events of a loop. */
#pragma once

#include "runtime/h2o.h"

/* Blocks SIGTERM, SIGINT and SIGHUP for this thread and all it starts, and ignores SIGPIPE. Call first in main(). */
void signals_block(void);

/* Calls cb(data, signo) on the loop for each of the blocked signals. Once per process. */
void signals_watch(h2o_loop_t *loop, void (*cb)(void *data, int signo), void *data);
