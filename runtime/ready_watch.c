#include "runtime/ready_watch.h"

#include "runtime/log.h"

enum { INTERVAL_MS = 100 };

static void on_timer(void *data)
{
    struct ready_watch *watch = data;
    const char *why = NULL;
    for (size_t i = 0; i < watch->count && why == NULL; ++i)
        why = watch->checks[i].run(watch->checks[i].data);
    if (why == NULL && watch->said != READY_YES)
        log_info("ready");
    else if (why != NULL && watch->said != READY_NO)
        log_warn("not ready", log_str("why", why));
    watch->said = why == NULL ? READY_YES : READY_NO;
    timer_start(&watch->timer, INTERVAL_MS);
}

void ready_watch_start(struct ready_watch *watch, h2o_loop_t *loop, const struct admin_check *checks, size_t count)
{
    *watch = (struct ready_watch){.checks = checks, .count = count};
    timer_init(&watch->timer, loop, on_timer, watch);
    timer_start(&watch->timer, INTERVAL_MS);
}
