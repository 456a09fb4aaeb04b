#include "publisher/ticker.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "publisher/counters.h"
#include "runtime/monotonic.h"

static uint64_t wall_clock_ms(void)
{
    return clock_us(CLOCK_REALTIME) / 1000;
}

static void on_ticked(void *data, const struct publish_answer *answer)
{
    (void)data;
    metric_add(COUNTER_PUBLISH + answer->outcome, 1);
    if (answer->outcome > PUBLISH_BUS_DOWN && answer->outcome != PUBLISH_UNWRITABLE)
        log_warn("tick refused", log_str("why", answer->why));
}

static void send_tick(struct ticker *ticker, uint64_t number)
{
    if (!publish_serves(ticker->bus, slice_of(tick_name(ticker->kind))))
        return;
    char data[TICK_DATA_MAX], key[TICK_KEY_MAX];
    size_t data_len = tick_data(data, ticker->kind, number), key_len = tick_key(key, ticker->kind, number);
    struct publish_request request = {
        .channel = slice_of(tick_name(ticker->kind)),
        .data = {data, data_len},
        .count = ticker->kind == TICK_COUNTER,
        .key = {key, key_len},
        .retry_ms = ticker->options->retry_ms,
        .only_changed = ticker->kind == TICK_USD_EUR,
        .history_len = ticker->options->history_len,
        .history_bytes = ticker->options->history_bytes,
        .data_max = options_data_max(ticker->options),
        .history_ttl_s = ticker->options->history_ttl_s,
    };
    ticker->last = number;
    metric_add(COUNTER_TICKS + ticker->kind, 1);
    publish_send(ticker->bus, &request, on_ticked, NULL);
}

/* For the boundary that follows now; a clock that is set wakes it too, so a step back can't make it wait out the difference. */
static void arm(struct ticker *ticker)
{
    uint64_t at = (tick_number(wall_clock_ms(), ticker->interval_ms) + 1) * ticker->interval_ms;
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at / 1000), .tv_nsec = (long)(at % 1000) * 1000000}};
    if (timerfd_settime(h2o_socket_get_fd(ticker->clock), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL) != 0)
        log_error("timerfd_settime failed", log_int("errno", errno));
}

static void on_clock(h2o_socket_t *sock, const char *err)
{
    struct ticker *ticker = sock->data;
    uint64_t expirations;
    (void)err;
    ssize_t n = read(h2o_socket_get_fd(sock), &expirations, sizeof(expirations));
    if (n == -1 && errno != ECANCELED)
        return;
    if (n != -1)
        send_tick(ticker, tick_next(ticker->last, wall_clock_ms(), ticker->interval_ms));
    arm(ticker);
}

void ticker_start(struct ticker *ticker, h2o_loop_t *loop)
{
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd == -1)
        die("timerfd_create: %s", strerror(errno));
    ticker->clock = h2o_evloop_socket_create(loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    ticker->clock->data = ticker;
    arm(ticker);
    h2o_socket_read_start(ticker->clock, on_clock);
}

void ticker_stop(struct ticker *ticker)
{
    if (ticker->clock != NULL)
        h2o_socket_close(ticker->clock);
    ticker->clock = NULL;
}
