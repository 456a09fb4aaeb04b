#include "runtime/pace.h"

#include "runtime/monotonic.h"
#include "runtime/timer.h"

enum { TURN_US = 2000, PAUSE_MS = 1 };

static _Thread_local struct {
    h2o_linklist_t waiting; /* the one that waits longest first */
    struct timer timer;
    uint64_t turn_ms, since_us; /* this turn, by the loop's clock, and when its first request was begun */
    bool is_held; /* see pace_hold() */
    bool is_turn_of_one; /* who is being resumed has not begun its request yet */
} thread;

static bool is_spent(h2o_loop_t *loop)
{
    uint64_t now_us = monotonic_us();
    if (thread.turn_ms != h2o_now(loop)) {
        thread.turn_ms = h2o_now(loop);
        thread.since_us = now_us;
    }
    return thread.is_held || now_us - thread.since_us > TURN_US;
}

void pace_hold(bool on)
{
    thread.is_held = on;
}

static bool does_anyone_wait(void)
{
    return thread.waiting.next != NULL && !h2o_linklist_is_empty(&thread.waiting);
}

bool pace_must_wait(h2o_loop_t *loop)
{
    bool has_turn = thread.is_turn_of_one || !does_anyone_wait();
    thread.is_turn_of_one = false;
    return !has_turn || is_spent(loop);
}

void pace_forget(struct pace *pace)
{
    if (h2o_linklist_is_linked(&pace->waiting))
        h2o_linklist_unlink(&pace->waiting);
}

static void on_pause_over(void *data)
{
    while (does_anyone_wait() && !is_spent(data)) {
        struct pace *pace = H2O_STRUCT_FROM_MEMBER(struct pace, waiting, thread.waiting.next);
        pace_forget(pace);
        thread.is_turn_of_one = true;
        pace->resume(pace);
        thread.is_turn_of_one = false;
    }
    if (does_anyone_wait())
        timer_start(&thread.timer, PAUSE_MS);
}

void pace_wait(struct pace *pace, h2o_loop_t *loop, void (*resume)(struct pace *pace))
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
