/* The clock that libh2o's timers run by. libh2o 2.2.5 asks gettimeofday() alone, so a clock that is set back by an hour would stop
 * every timer for an hour, and one that is set forward would end every connection. This program defines gettimeofday() itself: the
 * time of day at its start, and from then on what CLOCK_MONOTONIC counts. Only durations may be taken from it. Who wants the time of
 * day (tokens, the log, the Date header) asks clock_gettime(CLOCK_REALTIME). Nothing to call: linking it does it. */
#include "runtime/h2o/library.h"
#include "runtime/monotonic.h"

static uint64_t start_us; /* the time of day at the start, less CLOCK_MONOTONIC */

__attribute__((constructor)) static void begin(void)
{
    start_us = clock_us(CLOCK_REALTIME) - monotonic_us();
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    uint64_t us = start_us + monotonic_us();
    (void)zone;
    *now = (struct timeval){.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
    return 0;
}

/* The texts of a second, as a context keeps them. */
struct texts {
    h2o_timestamp_string_t strings; /* first: the library knows it alone */
    time_t second;
};

static h2o_timestamp_string_t *texts_of(time_t second)
{
    struct texts *texts = h2o_mem_alloc_shared(NULL, sizeof(*texts), NULL);
    struct tm gmt;
    texts->second = second;
    gmtime_r(&second, &gmt);
    h2o_time2str_rfc1123(texts->strings.rfc1123, &gmt);
    h2o_time2str_log(texts->strings.log, second);
    return &texts->strings;
}

/* As the library's, which would take the texts from the same clock as the times: the Date header goes by the time of day, as it is
 * set now. */
void h2o_context_update_timestamp_cache(h2o_context_t *ctx)
{
    struct timespec now;
    struct texts *texts = (struct texts *)ctx->_timestamp_cache.value;
    ctx->_timestamp_cache.uv_now_at = h2o_now(ctx->loop);
    gettimeofday(&ctx->_timestamp_cache.tv_at, NULL);
    clock_gettime(CLOCK_REALTIME, &now);
    if (texts != NULL && texts->second == now.tv_sec)
        return;
    if (texts != NULL)
        h2o_mem_release_shared(texts);
    ctx->_timestamp_cache.value = texts_of(now.tv_sec);
}
