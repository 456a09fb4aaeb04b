#include "proto/cli/latency.h"

#include "tests/check.h"

int main(void)
{
    static struct latency latency;
    check(latency_of(&latency, 500) == 0, "no latency without any");
    for (uint64_t us = 1; us <= 100000; ++us)
        latency_add(&latency, us);
    uint64_t p50 = latency_of(&latency, 500), p99 = latency_of(&latency, 990);
    check(p50 >= 50000 && p50 <= 50000 * 33 / 32, "p50 of 1 to 100,000 us is %llu", (unsigned long long)p50);
    check(p99 >= 99000 && p99 <= 99000 * 33 / 32, "p99 is %llu", (unsigned long long)p99);
    check(latency_of(&latency, 1000) == 100000 && latency.max_us == 100000, "the longest is exact");
    latency_add(&latency, UINT64_MAX);
    check(latency_of(&latency, 1000) <= UINT64_MAX, "what is out of bounds is in the last bucket");
    return check_end();
}
