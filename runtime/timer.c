#include "runtime/timer.h"

/* libh2o subtracts the duration from a millisecond count since 1970; more than this would wrap round and fire at once. */
#define LONGEST_MS (UINT64_C(1000) * 3600 * 24 * 3650)

static void on_timeout(h2o_timeout_entry_t *entry)
{
    struct timer *timer = H2O_STRUCT_FROM_MEMBER(struct timer, entry, entry);
    timer->cb(timer->data);
}

void timer_init(struct timer *timer, h2o_loop_t *loop, void (*cb)(void *data), void *data)
{
    *timer = (struct timer){.loop = loop, .cb = cb, .data = data};
    timer->entry.cb = on_timeout;
    h2o_timeout_init(loop, &timer->timeout, LONGEST_MS);
}

void timer_start(struct timer *timer, uint64_t ms)
{
    timer_stop(timer);
    /* Never 0: h2o_timeout_run() goes on while the list holds an entry that is due, and its clock stands still meanwhile, so a timer
     * that starts itself anew with 0 ms would hold the loop for ever. With 1 ms it waits for the next turn. */
    timer->timeout.timeout = ms == 0 ? 1 : ms > LONGEST_MS ? LONGEST_MS : ms;
    h2o_timeout_link(timer->loop, &timer->timeout, &timer->entry);
}

void timer_stop(struct timer *timer)
{
    h2o_timeout_unlink(&timer->entry);
}

bool timer_running(const struct timer *timer)
{
    return timer->entry._link.next != NULL;
}

void timer_dispose(struct timer *timer)
{
    timer_stop(timer);
    h2o_timeout_dispose(timer->loop, &timer->timeout);
}
