/* Gives memory back to the system that the allocator keeps after a storm of streams or a large message. */
#pragma once

#include "runtime/timer.h"

/* Once a minute on this loop: malloc_trim(3). Once per process. */
void trim_start(h2o_loop_t *loop);
