/* How often an idle stream gets a comment: the wheel turns by this file's clock, and what it pushes is only counted. */
#include "gateway/stream/keepalive.h"

#include <stdlib.h>

#include "gateway/stream/transport.h"
#include "tests/check.h"

enum { PERIOD_MS = 15000, PERIODS = 200, STREAMS = 20 };

struct one {
    struct subscriber *subscriber;
    uint64_t last; /* when it had its last comment */
    uint64_t least, most; /* between two */
    unsigned comments;
};

static h2o_loop_t *loop;
static struct one ones[STREAMS];
static uint64_t delay; /* of the wheel's timer */

void timer_init(struct timer *timer, h2o_loop_t *its_loop, void (*cb)(void *data), void *data)
{
    *timer = (struct timer){.loop = its_loop, .cb = cb, .data = data};
}

void timer_start(struct timer *timer, uint64_t ms)
{
    (void)timer;
    delay = ms;
}

void subscriber_push(struct subscriber *subscriber, struct frame *frame)
{
    struct one *one = ones;
    while (one->subscriber != subscriber)
        ++one;
    uint64_t now = h2o_now(loop), since = now - one->last;
    check_failed += !slice_eq(frame_body(frame), SLICE(":\n"));
    if (one->comments++ == 0 || since < one->least)
        one->least = since;
    if (since > one->most)
        one->most = since;
    one->last = now;
}

void subscriber_close(struct subscriber *subscriber, enum close_reason reason)
{
    (void)reason;
    subscriber->state = SUBSCRIBER_CLOSED;
}

static int no_fd(const struct subscriber *subscriber)
{
    (void)subscriber;
    return -1;
}

static const struct transport transport = {.name = "test", .fd = no_fd};
static unsigned rotated;

static void on_rotate(void *data, struct subscriber *subscriber)
{
    (void)data;
    ++rotated;
    subscriber->rotate_ms = UINT64_MAX;
}

static struct subscriber *stream(struct keepalive *keepalive)
{
    struct subscriber *subscriber = calloc(1, sizeof(*subscriber));
    subscriber->transport = &transport;
    subscriber->state = SUBSCRIBER_LIVE;
    subscriber->rotate_ms = UINT64_MAX;
    keepalive_add(keepalive, subscriber);
    return subscriber;
}

static void turn(struct keepalive *keepalive)
{
    ones[0].subscriber->active_ms = h2o_now(loop); /* this one is busy */
    loop->_now += delay;
    keepalive->timer.cb(keepalive->timer.data);
}

int main(void)
{
    static struct keepalive keepalive;
    counters_init();
    metrics_thread();
    loop = h2o_evloop_create();
    loop->_now = 1000000;
    keepalive_init(&keepalive, loop, PERIOD_MS, on_rotate, NULL);
    const uint64_t step = keepalive.step_ms, end = h2o_now(loop) + PERIODS * (uint64_t)PERIOD_MS;
    for (int i = 0; i < STREAMS; ++i) {
        ones[i] = (struct one){.subscriber = stream(&keepalive), .last = h2o_now(loop)};
        ones[i].subscriber->busy = i == 1; /* its client does not read */
        turn(&keepalive);
    }
    ones[1].subscriber->rotate_ms = end - 10 * PERIOD_MS;
    while (h2o_now(loop) < end)
        turn(&keepalive);
    check(ones[0].comments == 0, "a stream that is written to gets no comment");
    check(ones[1].comments == 0, "nor does one whose client does not read");
    check(rotated == 1, "a stream whose time is over is handed on once");
    uint64_t least = UINT64_MAX, most = 0;
    unsigned fewest = UINT32_MAX;
    for (int i = 2; i < STREAMS; ++i) {
        least = ones[i].least < least ? ones[i].least : least;
        most = ones[i].most > most ? ones[i].most : most;
        fewest = ones[i].comments < fewest ? ones[i].comments : fewest;
    }
    check(least + step >= PERIOD_MS, "an idle stream gets one no sooner than KEEPALIVE_MS after the last: %u ms", (unsigned)least);
    check(most <= PERIOD_MS + 2 * step, "and no later, but for two steps of the wheel: %u ms", (unsigned)most);
    check(fewest >= PERIODS * 9 / 10, "in %u periods each has as many, nearly: %u", PERIODS, fewest);
    check(metric_sum(COUNT_KEEPALIVES) > (STREAMS - 2) * PERIODS * 9 / 10, "they are counted");
    check(keepalive.count == STREAMS, "all are in the wheel still");
    return check_end();
}
