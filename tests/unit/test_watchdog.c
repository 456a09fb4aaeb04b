/* runtime/watchdog: two loops on two threads, one of which gets stuck. */
#include "runtime/watchdog.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/monotonic.h"
#include "tests/check.h"

enum { INTERVAL_MS = 10 };

static struct watchdog watchdog = {.name = "worker 7", .interval_ms = INTERVAL_MS};
static int stuck[2], freed[2]; /* pipes: the loop says that it is stuck, and is told to go on */
static atomic_bool wanted, ended;

static void await(int fd)
{
    char byte;
    if (read(fd, &byte, 1) != 1)
        exit(2);
}

static void tell(int fd)
{
    if (write(fd, "x", 1) != 1)
        exit(2);
}

static void *run(void *data)
{
    h2o_loop_t *loop = h2o_evloop_create();
    (void)data;
    watchdog_beat(&watchdog, loop);
    while (!ended) {
        h2o_evloop_run(loop, INTERVAL_MS);
        if (atomic_exchange(&wanted, false)) {
            tell(stuck[1]);
            await(freed[0]);
        }
    }
    timer_dispose(&watchdog.beat);
    h2o_evloop_run(loop, 0);
    h2o_evloop_destroy(loop);
    return NULL;
}

/* Turns the watching loop until the watchdog is stuck, or is not; false after `intervals` of them. */
static bool until(h2o_loop_t *loop, bool is_stuck, uint64_t intervals)
{
    uint64_t end = monotonic_ms() + intervals * INTERVAL_MS;
    while ((watchdog_why(&watchdog) != NULL) != is_stuck && monotonic_ms() < end)
        h2o_evloop_run(loop, INTERVAL_MS);
    return (watchdog_why(&watchdog) != NULL) == is_stuck;
}

int main(void)
{
    pthread_t thread;
    h2o_loop_t *loop = h2o_evloop_create();
    if (pipe(stuck) != 0 || pipe(freed) != 0)
        return 2;
    pthread_create(&thread, NULL, run, NULL);
    watchdog_watch(&watchdog, loop);
    check(!until(loop, true, 3 * PULSE_MISSED), "a loop that turns is never stuck");
    wanted = true;
    await(stuck[0]);
    check(watchdog_why(&watchdog) == NULL, "one that stopped just now is not stuck yet");
    uint64_t began = monotonic_ms();
    check(until(loop, true, 1000), "but it is in the end");
    check(monotonic_ms() - began >= (PULSE_MISSED - 2) * INTERVAL_MS, "after so many intervals, not before");
    check_slice(slice_of(watchdog_why(&watchdog)), SLICE("its event loop has been stuck for 30 s"), "which is said");
    tell(freed[1]);
    check(until(loop, false, 1000), "and it is good again when it turns again");
    usleep(2 * PULSE_MISSED * INTERVAL_MS * 1000);
    wanted = true;
    await(stuck[0]);
    h2o_evloop_run(loop, INTERVAL_MS);
    check(watchdog_why(&watchdog) == NULL, "what the watcher did not live through it does not count");
    ended = true;
    tell(freed[1]);
    pthread_join(thread, NULL);
    timer_dispose(&watchdog.watch);
    h2o_evloop_run(loop, 0);
    h2o_evloop_destroy(loop);
    return check_end();
}
