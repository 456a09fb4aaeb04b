#include "tests/bench/pacing.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "tests/bench/bench.h"

enum { SECOND_NS = 1000000000, HEAD_START_NS = 5000000 };

static uint64_t due(const struct pacing *pacing, uint64_t number)
{
    return pacing->start_ns + number / pacing->rate * SECOND_NS + number % pacing->rate * SECOND_NS / pacing->rate;
}

/* When the last one of its batch is. */
static uint64_t batch_due(const struct pacing *pacing, uint64_t number)
{
    return due(pacing, number - number % pacing->batch + pacing->batch - 1);
}

void pacing_start(struct pacing *pacing, uint64_t rate, uint64_t total, uint64_t batch)
{
    *pacing = (struct pacing){
        .start_ns = bench_now_ns() + HEAD_START_NS, .rate = rate, .total = total, .batch = batch, .armed = UINT64_MAX};
    pacing->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (pacing->timer < 0)
        bench_fail("timer: %s", strerror(errno));
}

bool pacing_take(struct pacing *pacing, uint64_t now_ns, uint64_t *number, uint64_t *due_ns)
{
    if (pacing->next == pacing->total || batch_due(pacing, pacing->next) > now_ns)
        return false;
    *number = pacing->next++;
    *due_ns = due(pacing, *number);
    return true;
}

/* Setting it also takes back its readiness. */
void pacing_arm(struct pacing *pacing)
{
    struct itimerspec at = {0};
    if (pacing->armed == pacing->next)
        return;
    pacing->armed = pacing->next;
    if (pacing->next < pacing->total) {
        uint64_t ns = batch_due(pacing, pacing->next);
        at.it_value = (struct timespec){.tv_sec = (time_t)(ns / SECOND_NS), .tv_nsec = (long)(ns % SECOND_NS)};
    }
    if (timerfd_settime(pacing->timer, TFD_TIMER_ABSTIME, &at, NULL) != 0)
        bench_fail("timer: %s", strerror(errno));
}

void pacing_end(struct pacing *pacing)
{
    close(pacing->timer);
}
