/* How many frames of a kind an HTTP/2 connection's client may send: a token bucket for each kind, which looks at the clock only
 * when it is empty. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "runtime/h2o/h2_abuse.h"

enum { H2_BUDGETS = H2_OTHER_FRAMES + 1 };

struct h2_rates {
    struct h2_bucket {
        uint32_t spent; /* since `since_ms` */
        uint32_t allowed; /* of it; the bucket's size at first */
        uint64_t since_ms;
    } buckets[H2_BUDGETS];
};

void h2_rates_init(struct h2_rates *rates, uint64_t now_ms);

/* Takes one. True when there was one; false: the caller looks at its clock and may fill the bucket with h2_rates_refill(). */
static inline bool h2_rates_take(struct h2_rates *rates, enum h2_abuse kind)
{
    struct h2_bucket *bucket = &rates->buckets[kind];
    if (bucket->spent == bucket->allowed)
        return false;
    ++bucket->spent;
    return true;
}

/* For an empty bucket: what time brought since it was last filled, and `earned` (things done for the client that allow it more
 * frames). False when that is nothing. */
bool h2_rates_refill(struct h2_rates *rates, enum h2_abuse kind, uint64_t now_ms, uint64_t earned);
