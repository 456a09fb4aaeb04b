/* Durations counted in log-linear buckets: exact below 256 µs, within 0.8 % up to 60 s; longer ones count as 60 s. Zeroed is
 * empty. */
#pragma once

#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 2560, HISTOGRAM_MAX_US = 60000000 };

struct histogram {
    uint64_t count, sum_us, max_us; /* these are exact */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t us);

/* The duration that `percent` of all do not exceed, µs; 0 when empty. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

double histogram_mean(const struct histogram *h);
