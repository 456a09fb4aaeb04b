#include "gateway/feed/clock_steps.h"

#include "tests/check.h"

enum { T = 1000000 }; /* the clock's time when monotonic_ms() is 0 */

static void test_read(void)
{
    struct clock_steps steps = {.known = false};
    check(clock_steps_is_time(&steps, T, 0), "before the clock was read any time is believed");
    bool back = clock_steps_read(&steps, T, 0, 1);
    back = clock_steps_read(&steps, T + 1000, 1000, 1002) || back;
    back = clock_steps_read(&steps, T + 1985, 2000, 2001) || back;
    check(!back && clock_steps_since(&steps, T + 1500) == T + 1500, "noise is no step");
    back = clock_steps_read(&steps, T + 2990, 3000, 3500) || clock_steps_read(&steps, T + 3980, 3990, 4000);
    check(!back, "nor is an answer that takes its time");
    check(clock_steps_read(&steps, T - 25000, 5000, 5001), "a clock that is set back is noticed");
    check(clock_steps_since(&steps, T + 4900) <= T - 26000 && clock_steps_since(&steps, T - 10000) <= T - 26000,
          "a time that comes again stands for the one it was set to");
    check(clock_steps_since(&steps, T - 27000) == T - 27000 && clock_steps_since(&steps, T + 6000) == T + 6000,
          "other times stand for themselves");
    check(!clock_steps_is_time(&steps, T + 4000, 5500) && clock_steps_is_time(&steps, T + 6000, 36000) &&
              !clock_steps_is_time(&steps, T + 8000, 36000),
          "a time that came once, or comes twice, is told from one to come");
}

static void test_steps(void)
{
    struct clock_steps steps = {.known = false};
    uint64_t back_ms = 0, mono_ms = 0;
    for (uint64_t n = 0; n < 2 * CLOCK_STEPS; ++n) {
        clock_steps_read(&steps, T + mono_ms - back_ms, mono_ms, mono_ms);
        clock_steps_read(&steps, T + mono_ms + 5000 - back_ms, mono_ms + 5000, mono_ms + 5000);
        back_ms += 100;
        mono_ms += 6000;
    }
    uint64_t last = T + mono_ms - 6000 - (back_ms - 100);
    check(clock_steps_since(&steps, last) < last && clock_steps_since(&steps, T + 5890) == T + 5890, "the last steps are known");
    struct clock_steps often = {.known = false};
    for (uint64_t n = 0; n < 100; ++n)
        clock_steps_read(&often, T + 100 * n + (n % 2 == 0 ? 5000 : 0), 100 * n, 100 * n);
    check(clock_steps_since(&often, T + 9000) <= T + 100, "steps whose times overlap are one");
}

static void test_suspect(void)
{
    struct clock_steps steps = {.known = false};
    clock_steps_read(&steps, T, 0, 1);
    check(!clock_steps_suspect(&steps, T + 10, 10) && !clock_steps_suspect(&steps, T + 10, 11) &&
              !clock_steps_suspect(&steps, T + 15, 15),
          "events in the order of their times are as they should be");
    check(clock_steps_suspect(&steps, T + 14, 16), "one that is older than one before it is not");
    check(!clock_steps_suspect(&steps, T + 5000, 20) && !clock_steps_suspect(&steps, T + 20, 20),
          "one ahead of the clock does not count");
    clock_steps_read(&steps, T - 5000, 100, 101);
    check(!clock_steps_suspect(&steps, T - 4990, 110) && !clock_steps_suspect(&steps, T + 20, 111) &&
              !clock_steps_suspect(&steps, T - 4980, 120),
          "nor does a channel that goes on above a clock that was set back");
}

int main(void)
{
    test_read();
    test_steps();
    test_suspect();
    return check_end();
}
