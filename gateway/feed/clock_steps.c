#include "gateway/feed/clock_steps.h"

static bool touch(const struct clock_step *one, const struct clock_step *other)
{
    return one->to_ms <= other->from_ms && other->to_ms <= one->from_ms;
}

void clock_steps_add(struct clock_steps *steps, uint64_t to_ms, uint64_t from_ms)
{
    struct clock_step step = {to_ms, from_ms};
    for (uint32_t i = 0; i < CLOCK_STEPS; ++i) {
        struct clock_step *known = &steps->steps[i];
        if (known->from_ms == 0 || !touch(known, &step))
            continue;
        known->to_ms = known->to_ms < step.to_ms ? known->to_ms : step.to_ms;
        known->from_ms = known->from_ms > step.from_ms ? known->from_ms : step.from_ms;
        return;
    }
    steps->steps[steps->next] = step;
    steps->next = (steps->next + 1) % CLOCK_STEPS;
}

bool clock_steps_read(struct clock_steps *steps, uint64_t now_ms, uint64_t asked_ms, uint64_t came_ms)
{
    int64_t least = (int64_t)now_ms - (int64_t)came_ms, most = (int64_t)now_ms - (int64_t)asked_ms + 1;
    bool back = steps->known && steps->least_ms - most > CLOCK_NOISE_MS;
    if (back) {
        int64_t to = (int64_t)steps->asked_ms + least - 1; /* it was set after it was read last */
        clock_steps_add(steps, to > 0 ? (uint64_t)to : 0, (uint64_t)((int64_t)came_ms + steps->most_ms));
        steps->heard_ms = 0;
    }
    steps->known = true;
    steps->least_ms = least;
    steps->most_ms = most;
    steps->asked_ms = asked_ms;
    return back;
}

bool clock_steps_suspect(struct clock_steps *steps, uint64_t ms, uint64_t mono_ms)
{
    bool is_time =
        clock_steps_is_time(steps, ms, mono_ms); /* else it goes on above a clock that was set back, or was made by hand */
    if (is_time && ms > steps->heard_ms)
        steps->heard_ms = ms;
    return ms < steps->heard_ms;
}

uint64_t clock_steps_since(const struct clock_steps *steps, uint64_t ms)
{
    uint64_t since = ms, before;
    do {
        before = since;
        for (uint32_t i = 0; i < CLOCK_STEPS; ++i)
            if (steps->steps[i].to_ms < since && since <= steps->steps[i].from_ms)
                since = steps->steps[i].to_ms;
    } while (since != before);
    return since;
}

bool clock_steps_is_time(const struct clock_steps *steps, uint64_t ms, uint64_t mono_ms)
{
    return !steps->known ||
           ((int64_t)ms <= (int64_t)mono_ms + steps->most_ms + CLOCK_NOISE_MS && clock_steps_since(steps, ms) == ms);
}
