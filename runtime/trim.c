#include "runtime/trim.h"

#include <malloc.h>

enum {
    PERIOD_MS = 60000,
    KEPT_BYTES = 131072, /* at the end of the heap, for what comes next */
};

static struct timer timer;

static void on_timer(void *data)
{
    (void)data;
    malloc_trim(KEPT_BYTES);
    timer_start(&timer, PERIOD_MS);
}

void trim_start(h2o_loop_t *loop)
{
    timer_init(&timer, loop, on_timer, NULL);
    timer_start(&timer, PERIOD_MS);
}
