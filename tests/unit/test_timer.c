/* runtime/timer: on a real loop. Times are bounded below only (a busy machine is late, never early) and by ctest's own limit above. */
#include "runtime/timer.h"

#include <time.h>

#include "tests/check.h"

struct fixture {
    h2o_loop_t *loop;
    struct timer timer;
    int fired;
    int again; /* restarts left, done from the callback */
    uint64_t again_ms;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void on_fire(void *data)
{
    struct fixture *f = data;
    ++f->fired;
    if (f->again != 0) {
        --f->again;
        timer_start(&f->timer, f->again_ms);
    }
}

static struct fixture *setup(void)
{
    struct fixture *f = h2o_mem_alloc(sizeof(*f));
    *f = (struct fixture){.loop = h2o_evloop_create()};
    timer_init(&f->timer, f->loop, on_fire, f);
    return f;
}

/* The loop's destructor asserts that no timer was left on it. */
static void teardown(struct fixture *f)
{
    timer_dispose(&f->timer);
    h2o_evloop_destroy(f->loop);
    free(f);
}

static void run_for(struct fixture *f, uint64_t ms)
{
    for (uint64_t end = now_ms() + ms; now_ms() < end;)
        h2o_evloop_run(f->loop, 5);
}

static void test_fires_once(void)
{
    struct fixture *f = setup();
    check(!timer_running(&f->timer), "a new timer is not running");
    h2o_evloop_run(f->loop, 0);
    uint64_t start = now_ms();
    timer_start(&f->timer, 40);
    check(timer_running(&f->timer), "a started timer is running");
    while (f->fired == 0)
        h2o_evloop_run(f->loop, 1000);
    uint64_t took = now_ms() - start;
    check(took >= 38, "it fires after its time, not before (%d ms)", (int)took);
    check(!timer_running(&f->timer), "after it fired it is not running");
    run_for(f, 100);
    check(f->fired == 1, "it fires once");
    teardown(f);
}

static void test_restart_and_stop(void)
{
    struct fixture *f = setup();
    timer_start(&f->timer, 1);
    timer_start(&f->timer, 100000);
    run_for(f, 50);
    check(f->fired == 0, "starting anew takes the earlier time back");
    timer_start(&f->timer, 1);
    run_for(f, 20);
    check(f->fired == 1, "a shorter time replaces a longer one");
    timer_start(&f->timer, 1);
    timer_stop(&f->timer);
    timer_stop(&f->timer);
    run_for(f, 20);
    check(f->fired == 1 && !timer_running(&f->timer), "a stopped timer does not fire, and stopping twice is harmless");
    teardown(f);
}

static void test_restart_from_callback(void)
{
    struct fixture *f = setup();
    f->again = 3;
    f->again_ms = 5;
    timer_start(&f->timer, 5);
    run_for(f, 100);
    check(f->fired == 4, "it can start itself anew (%d of 4)", f->fired);
    f->fired = 0;
    f->again = 1;
    f->again_ms = 100000;
    timer_start(&f->timer, 0);
    run_for(f, 50);
    check(f->fired == 1 && timer_running(&f->timer), "a longer time given in the callback is kept");
    teardown(f);
}

static void test_zero_leaves_the_loop(void)
{
    struct fixture *f = setup();
    f->again = 1000;
    timer_start(&f->timer, 0);
    int turns = 0;
    while (f->fired < 10 && turns < 100000)
        h2o_evloop_run(f->loop, 1000), ++turns;
    check(turns >= 10, "starting itself with 0 ms fires at most once in a turn of the loop (%d turns)", turns);
    timer_stop(&f->timer);
    f->again = 0;
    teardown(f);
}

static void test_endless(void)
{
    struct fixture *f = setup();
    timer_start(&f->timer, UINT64_MAX);
    run_for(f, 20);
    check(f->fired == 0 && timer_running(&f->timer), "the longest time is not at once");
    teardown(f);
}

int main(void)
{
    test_fires_once();
    test_restart_and_stop();
    test_restart_from_callback();
    test_zero_leaves_the_loop();
    test_endless();
    return check_end();
}
