/* The clocks: a monotonic one, which no one sets, and those of CLOCK_… in general. */
#pragma once

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_us(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static inline uint64_t monotonic_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

static inline uint64_t monotonic_ms(void)
{
    return monotonic_us() / 1000;
}
