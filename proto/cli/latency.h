/* How long things took, in buckets whose width is 1/32 of their value. Pure; zeroed memory is the empty one. */
#pragma once

#include <stdint.h>

enum { LATENCY_STEPS = 32, LATENCY_BUCKETS = 40 * LATENCY_STEPS };

struct latency {
    uint64_t counts[LATENCY_BUCKETS];
    uint64_t count, max_us;
};

void latency_add(struct latency *latency, uint64_t us);

/* The time that so many of a thousand did not exceed, in microseconds; 0 when there were none. */
uint64_t latency_of(const struct latency *latency, unsigned permille);
