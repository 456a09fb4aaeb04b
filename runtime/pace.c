#include "runtime/pace.h"

#include "runtime/monotonic.h"
#include "runtime/timer.h"

enum { TURN_US = 2000, TURN_OF_NEWCOMERS_US = TURN_US / 2, PAUSE_MS = 1 };

static _Thread_local struct {
    h2o_linklist_t newcomers, others; /* that wait, in each the one that waits longest first */
    struct timer timer;
    uint64_t turn_ms, since_us; /* this turn, by the loop's clock, and when its first request was begun */
    const void *last; /* the connection that began the last request of this turn; NULL: none did */
    bool is_held; /* see pace_hold() */
    bool is_turn_of_one; /* who is being resumed has not begun its request yet */
    bool was_newcomer; /* who was resumed last */
} thread;

static bool is_spent(h2o_loop_t *loop, uint64_t most_us)
{
    uint64_t now_us = monotonic_us();
    if (thread.turn_ms != h2o_now(loop)) {
        thread.turn_ms = h2o_now(loop);
        thread.since_us = now_us;
        thread.last = NULL;
    }
    return thread.is_held || now_us - thread.since_us > most_us;
}

void pace_hold(bool on)
{
    thread.is_held = on;
}

static bool has_any(const h2o_linklist_t *waiting)
{
    return waiting->next != NULL && waiting->next != waiting;
}

static bool does_anyone_wait(void)
{
    return has_any(&thread.newcomers) || has_any(&thread.others);
}

bool pace_must_wait(h2o_loop_t *loop, const void *connection)
{
    bool has_turn = thread.is_turn_of_one || !does_anyone_wait();
    thread.is_turn_of_one = false;
    if (is_spent(loop, has_turn ? TURN_US : TURN_OF_NEWCOMERS_US) || (!has_turn && thread.last == connection))
        return true;
    thread.last = connection;
    return false;
}

void pace_forget(struct pace *pace)
{
    if (h2o_linklist_is_linked(&pace->waiting))
        h2o_linklist_unlink(&pace->waiting);
}

/* One of each in turn, so that neither keeps the others waiting for ever. */
static struct pace *take_first(void)
{
    thread.was_newcomer = has_any(&thread.newcomers) && !(thread.was_newcomer && has_any(&thread.others));
    h2o_linklist_t *from = thread.was_newcomer ? &thread.newcomers : &thread.others;
    struct pace *pace = H2O_STRUCT_FROM_MEMBER(struct pace, waiting, from->next);
    pace_forget(pace);
    return pace;
}

static void on_pause_over(void *data)
{
    while (does_anyone_wait() && !is_spent(data, TURN_US)) {
        struct pace *pace = take_first();
        thread.is_turn_of_one = true;
        pace->resume(pace);
        thread.is_turn_of_one = false;
    }
    if (does_anyone_wait())
        timer_start(&thread.timer, PAUSE_MS);
}

void pace_wait(struct pace *pace, h2o_loop_t *loop, const void *connection, void (*resume)(struct pace *pace))
{
    if (thread.others.next == NULL) {
        h2o_linklist_init_anchor(&thread.newcomers);
        h2o_linklist_init_anchor(&thread.others);
        timer_init(&thread.timer, loop, on_pause_over, loop);
    }
    pace->resume = resume;
    if (!h2o_linklist_is_linked(&pace->waiting))
        h2o_linklist_insert(thread.last == connection ? &thread.others : &thread.newcomers, &pace->waiting);
    if (!timer_running(&thread.timer))
        timer_start(&thread.timer, PAUSE_MS);
}
