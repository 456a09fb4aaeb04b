#include "proto/cli/latency.h"

enum { STEP_BITS = 5 };

static unsigned bucket_of(uint64_t us)
{
    if (us < LATENCY_STEPS)
        return (unsigned)us;
    unsigned exponent = 63u - (unsigned)__builtin_clzll(us) - STEP_BITS;
    unsigned bucket = (exponent + 1) * LATENCY_STEPS + (unsigned)(us >> exponent) - LATENCY_STEPS;
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/* The largest time that falls into the bucket. */
static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < LATENCY_STEPS)
        return bucket;
    unsigned exponent = bucket / LATENCY_STEPS - 1;
    return (((uint64_t)(bucket % LATENCY_STEPS + LATENCY_STEPS) + 1) << exponent) - 1;
}

void latency_add(struct latency *latency, uint64_t us)
{
    ++latency->counts[bucket_of(us)];
    ++latency->count;
    latency->max_us = us > latency->max_us ? us : latency->max_us;
}

uint64_t latency_of(const struct latency *latency, unsigned permille)
{
    uint64_t rank = (latency->count * permille + 999) / 1000, seen = 0;
    for (unsigned i = 0; i != LATENCY_BUCKETS && rank != 0; ++i) {
        seen += latency->counts[i];
        if (seen >= rank)
            return bucket_end(i) < latency->max_us ? bucket_end(i) : latency->max_us;
    }
    return 0;
}
