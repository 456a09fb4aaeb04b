/* Memory of the world itself, whoever runs: not counted as a gateway's. */
#pragma once

#include <stdlib.h>

#include "tests/simulation/schedule.h"

void *__wrap_malloc(size_t size); /* by its own name: of malloc() the compiler knows that it reads no thread_now */

static inline void *world_malloc(size_t size)
{
    struct thread *thread = thread_now;
    thread_now = NULL;
    void *p = __wrap_malloc(size);
    thread_now = thread;
    return p;
}
