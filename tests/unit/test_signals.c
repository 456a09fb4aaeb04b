/* runtime/signals. */
#include "runtime/signals.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "tests/check.h"

static int seen[64];
static pthread_t seen_on;

static void on_signal(void *data, int signo)
{
    check(data == seen, "the callback gets its data");
    ++seen[signo];
    seen_on = pthread_self();
}

static void *raise_all(void *data)
{
    (void)data;
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGINT);
    kill(getpid(), SIGHUP);
    return NULL;
}

int main(void)
{
    pthread_t other;
    signals_block();
    kill(getpid(), SIGPIPE);
    check(true, "SIGPIPE is ignored");
    kill(getpid(), SIGHUP);
    static h2o_loop_t *loop; /* as long as the process, like the watch */
    loop = h2o_evloop_create();
    signals_watch(loop, on_signal, seen);
    h2o_evloop_run(loop, 5000);
    check(seen[SIGHUP] == 1, "a signal from before the watch is not lost");
    pthread_create(&other, NULL, raise_all, NULL);
    pthread_join(other, NULL);
    for (int i = 0; i < 100 && seen[SIGTERM] + seen[SIGINT] + seen[SIGHUP] < 4; ++i)
        h2o_evloop_run(loop, 100);
    check(seen[SIGTERM] == 1 && seen[SIGINT] == 1 && seen[SIGHUP] == 2, "each signal is told once");
    check(pthread_equal(seen_on, pthread_self()), "on the loop's thread");
    kill(getpid(), SIGTERM);
    h2o_evloop_run(loop, 5000);
    check(seen[SIGTERM] == 2, "and again when it comes again");
    return check_end();
}
