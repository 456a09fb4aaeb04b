#include "tests/bench/histogram.h"

#include <math.h>

enum { LINEAR_BITS = 7 }; /* 128 buckets to each doubling */

static unsigned bucket_of(uint64_t us)
{
    unsigned shift = us < 2u << LINEAR_BITS ? 0 : (unsigned)(63 - __builtin_clzll(us)) - LINEAR_BITS;
    return (shift << LINEAR_BITS) + (unsigned)(us >> shift);
}

static uint64_t highest_of(unsigned bucket)
{
    unsigned shift = bucket < 2u << LINEAR_BITS ? 0 : (bucket >> LINEAR_BITS) - 1;
    return ((uint64_t)(bucket - (shift << LINEAR_BITS) + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t us)
{
    if (us > HISTOGRAM_MAX_US)
        us = HISTOGRAM_MAX_US;
    ++h->count;
    h->sum_us += us;
    if (us > h->max_us)
        h->max_us = us;
    ++h->buckets[bucket_of(us)];
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    uint64_t wanted = (uint64_t)ceil((double)h->count * percent / 100), seen = 0;
    if (h->count == 0)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; ++i) {
        seen += h->buckets[i];
        if (seen >= wanted && seen != 0)
            return highest_of(i) < h->max_us ? highest_of(i) : h->max_us;
    }
    return h->max_us;
}

double histogram_mean(const struct histogram *h)
{
    return h->count == 0 ? 0 : (double)h->sum_us / (double)h->count;
}
