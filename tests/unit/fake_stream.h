/* Stands in for what is around the streams of a worker, so that a test of them links no event loop and no socket: the answer to a request, the address in a log
 * line, and a clock and timers that move when the test says so. */
#pragma once

#include <string.h>

#include "runtime/http.h"
#include "runtime/net/client_address.h"
#include "runtime/timer.h"

/* What happened, as words with a space behind each. */
static char fake_trace[512];

static inline void fake_happened(const char *word)
{
    strncat(fake_trace, word, sizeof(fake_trace) - strlen(fake_trace) - 1);
    strncat(fake_trace, " ", sizeof(fake_trace) - strlen(fake_trace) - 1);
}

void http_error_later(h2o_req_t *req, int status, unsigned retry_s, const char *sentence)
{
    (void)req, (void)retry_s, (void)sentence;
    fake_happened(status == 503 ? "503" : status == 429 ? "429" : "answer");
}

const char *client_address_print(const struct client_address *address, char text[CLIENT_ADDRESS_TEXT_MAX])
{
    (void)address;
    return strcpy(text, "-");
}

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
