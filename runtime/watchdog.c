#include "runtime/watchdog.h"

#include "runtime/log.h"

static void on_beat(void *data)
{
    struct watchdog *pulse = data;
    atomic_fetch_add_explicit(&pulse->beats, 1, memory_order_relaxed);
    timer_start(&pulse->beat, pulse->interval_ms);
}

static void on_watch(void *data)
{
    struct watchdog *pulse = data;
    uint32_t beats = atomic_load_explicit(&pulse->beats, memory_order_relaxed);
    if (beats != pulse->seen && pulse->missed >= PULSE_MISSED)
        log_warn("event loop runs again", log_str("thread", pulse->name));
    pulse->missed = beats != pulse->seen ? 0 : pulse->missed + 1;
    pulse->seen = beats;
    if (pulse->missed == PULSE_MISSED)
        log_error("event loop is stuck", log_str("thread", pulse->name));
    timer_start(&pulse->watch, pulse->interval_ms);
}

void watchdog_beat(struct watchdog *pulse, h2o_loop_t *loop)
{
    timer_init(&pulse->beat, loop, on_beat, pulse);
    timer_start(&pulse->beat, pulse->interval_ms);
}

void watchdog_watch(struct watchdog *pulse, h2o_loop_t *loop)
{
    timer_init(&pulse->watch, loop, on_watch, pulse);
    timer_start(&pulse->watch, pulse->interval_ms);
}

const char *watchdog_why(void *data)
{
    return ((const struct watchdog *)data)->missed < PULSE_MISSED ? NULL : "its event loop has been stuck for 30 s";
}
