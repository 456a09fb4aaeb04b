#include "runtime/h2_pace.h"

#include "runtime/monotonic.h"
#include "runtime/timer.h"

enum { TURN_US = 2000, PAUSE_MS = 1 };

static _Thread_local struct {
    h2o_linklist_t waiting; /* who waits longest first */
    struct timer timer;
    uint64_t turn_ms, since_us; /* this turn, by the loop's clock, and when its first request came */
} thread;

bool h2_pace_is_spent(h2o_loop_t *loop)
{
    uint64_t now_us = monotonic_us();
    if (thread.turn_ms != h2o_now(loop)) {
        thread.turn_ms = h2o_now(loop);
        thread.since_us = now_us;
    }
    return now_us - thread.since_us > TURN_US;
}

void h2_pace_forget(struct h2_pace *pace)
{
    if (h2o_linklist_is_linked(&pace->waiting))
        h2o_linklist_unlink(&pace->waiting);
}

static void on_pause_over(void *data)
{
    while (!h2o_linklist_is_empty(&thread.waiting) && !h2_pace_is_spent(data)) {
        struct h2_pace *pace = H2O_STRUCT_FROM_MEMBER(struct h2_pace, waiting, thread.waiting.next);
        h2_pace_forget(pace);
        pace->resume(pace);
    }
    if (!h2o_linklist_is_empty(&thread.waiting))
        timer_start(&thread.timer, PAUSE_MS);
}

void h2_pace_wait(struct h2_pace *pace, h2o_loop_t *loop, void (*resume)(struct h2_pace *pace))
{
    if (thread.waiting.next == NULL) {
        h2o_linklist_init_anchor(&thread.waiting);
        timer_init(&thread.timer, loop, on_pause_over, loop);
    }
    pace->resume = resume;
    if (!h2o_linklist_is_linked(&pace->waiting))
        h2o_linklist_insert(&thread.waiting, &pace->waiting);
    if (!timer_running(&thread.timer))
        timer_start(&thread.timer, PAUSE_MS);
}
