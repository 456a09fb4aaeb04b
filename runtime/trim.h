/* Gives memory back to the system that the allocator keeps after a storm of streams or a large message. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "runtime/timer.h"

/* Tells the allocator how much it may keep: first in main(), with its arguments, since the program is executed once more for it. What the environment says of it
 * (GLIBC_TUNABLES, and MALLOC_… as in mallopt(3)) holds. */
void trim_prepare(char **argv);

/* Looks on this loop, about once a second, whether much memory is free that the process holds, and gives it back then. Once per process. */
void trim_start(h2o_loop_t *loop);

/* Decides when. `idle` is what is resident and not in use: it has a part that no trim gives back, the programs' own pages and those with a block in use. */
struct trim {
    int64_t least; /* idle bytes since the last trim, at the least */
    bool was_much; /* at the last look */
    int looks; /* since the last trim */
};

/* Whether there is enough to give back, and has been since the last look: a storm that goes on would take it again at once. Or the last trim is ten looks ago: one small
 * block keeps a page, and was perhaps freed after it. */
bool trim_is_due(struct trim *trim, int64_t resident, int64_t used);

/* What was left by a trim is not counted again. */
void trim_done(struct trim *trim, int64_t resident, int64_t used);
