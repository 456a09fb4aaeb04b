#include "proto/cli/backoff.h"

#include "tests/check.h"

static const struct {
    int64_t retry_ms;
    unsigned failures;
    int64_t after_s;
    uint32_t chance;
    int64_t want_ms;
    const char *fact;
} waits[] = {
    {6000, 0, 0, 999, 6000, "retry: is kept as it stands after a stream that was fine"},
    {-1, 0, 0, 7, 1000, "a second when the stream said nothing"},
    {0, 0, 0, 7, 100, "a retry of 0 is 100 ms"},
    {86400000, 0, 0, 0, 30000, "a retry of a day is half a minute"},
    {-1, 1, 0, 0, 1000, "the first failure waits once"},
    {-1, 2, 0, 0, 2000, "the second twice as long"},
    {-1, 5, 0, 0, 16000, "and so on"},
    {-1, 6, 0, 0, 30000, "up to half a minute"},
    {-1, 4000000000u, 0, 0, 30000, "also after very many"},
    {200, 3, 0, 0, 800, "it begins with what the server wants"},
    {-1, 1, 0, 1999, 751, "chance takes at most a quarter off"},
    {-1, 3, 0, 500, 3500, "half of the quarter"},
    {-1, 1, 7, 0, 7000, "Retry-After is waited for"},
    {-1, 5, 7, 0, 16000, "but does not shorten the wait"},
    {-1, 1, INT64_MAX, 0, 300000, "nor make it longer than 5 minutes"},
};

int main(void)
{
    for (size_t i = 0; i != sizeof(waits) / sizeof(waits[0]); ++i) {
        int64_t got = backoff_ms(waits[i].retry_ms, waits[i].failures, waits[i].after_s, waits[i].chance);
        check(got == waits[i].want_ms, "%s: %lld ms", waits[i].fact, (long long)got);
    }
    return check_end();
}
