/* Logs each change of the /readyz answer, with the reason when it is not ready. One loop's thread. */
#pragma once

#include "runtime/admin.h"
#include "runtime/timer.h"

struct ready_watch {
    const struct admin_check *checks;
    size_t count;
    enum { READY_UNKNOWN, READY_YES, READY_NO } said;
    struct timer timer;
};

/* The checks are borrowed; the watch's memory stays as long as the loop. */
void ready_watch_start(struct ready_watch *watch, h2o_loop_t *loop, const struct admin_check *checks, size_t count);
