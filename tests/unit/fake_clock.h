/* A clock and timers that move when the test says so, in place of libh2o's event loop. */
#pragma once

#include "runtime/timer.h"

static h2o_loop_t fake_loop = {._now = 1000000};
enum { FAKE_TIMERS = 8 };
static struct {
    struct timer *timer;
    uint64_t at_ms; /* UINT64_MAX: it does not run */
} fake_timers[FAKE_TIMERS];

static inline uint64_t *fake_due(const struct timer *timer)
{
    int i = 0;
    while (fake_timers[i].timer != timer)
        ++i;
    return &fake_timers[i].at_ms;
}

void timer_init(struct timer *timer, h2o_loop_t *loop, void (*cb)(void *data), void *data)
{
    int i = 0;
    *timer = (struct timer){.loop = loop, .cb = cb, .data = data};
    while (fake_timers[i].timer != NULL && fake_timers[i].timer != timer)
        ++i;
    fake_timers[i].timer = timer;
    fake_timers[i].at_ms = UINT64_MAX;
}

void timer_start(struct timer *timer, uint64_t ms)
{
    *fake_due(timer) = h2o_now(timer->loop) + ms;
}

void timer_stop(struct timer *timer)
{
    *fake_due(timer) = UINT64_MAX;
}

bool timer_running(const struct timer *timer)
{
    return *fake_due(timer) != UINT64_MAX;
}

void timer_dispose(struct timer *timer)
{
    timer_stop(timer);
}

/* Moves the clock, a millisecond at a time, and runs what is due. */
static inline void fake_pass(uint64_t ms)
{
    for (; ms != 0; --ms) {
        ++fake_loop._now;
        for (int i = 0; i < FAKE_TIMERS && fake_timers[i].timer != NULL; ++i)
            if (fake_timers[i].at_ms <= fake_loop._now) {
                fake_timers[i].at_ms = UINT64_MAX;
                fake_timers[i].timer->cb(fake_timers[i].timer->data);
            }
    }
}
