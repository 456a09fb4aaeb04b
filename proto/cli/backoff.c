#include "proto/cli/backoff.h"

static int64_t at_most(int64_t value, int64_t most)
{
    return value < most ? value : most;
}

int64_t backoff_ms(int64_t retry_ms, unsigned failures, int64_t after_s, uint32_t chance)
{
    int64_t ms = retry_ms < 0 ? BACKOFF_FIRST_MS : at_most(retry_ms, BACKOFF_MAX_MS);
    int64_t after_ms = at_most(after_s, BACKOFF_AFTER_MAX_MS / 1000) * 1000;
    ms = ms < BACKOFF_MIN_MS ? BACKOFF_MIN_MS : ms;
    for (unsigned i = 1; i < failures && ms < BACKOFF_MAX_MS; ++i)
        ms *= 2;
    ms = at_most(ms, BACKOFF_MAX_MS);
    if (failures != 0)
        ms -= (int64_t)(chance % 1000) * (ms / 4) / 1000;
    return ms < after_ms ? after_ms : ms;
}
