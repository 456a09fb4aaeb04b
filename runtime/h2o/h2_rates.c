#include "runtime/h2o/h2_rates.h"

#include <stddef.h>

/* What no client in use comes near. A browser that reloads a page with 90 open streams resets 90 of them: it may do so every second
 * for ever, and ten times in a row. Firefox sends a few PRIORITY frames a request, Chrome and Firefox PRIORITY_UPDATE and frames of
 * types made up to be ignored (RFC 8701's idea), gRPC's bandwidth probes a PING for each round trip with data; nobody more than a
 * few SETTINGS in a connection's life. */
static const struct {
    uint32_t burst, per_second;
} limits[H2_BUDGETS] = {
    [H2_RESETS] = {1000, 100},          [H2_PINGS] = {1000, 20},
    [H2_SETTINGS] = {100, 1},           [H2_PRIORITIES] = {2000, 200},
    [H2_WINDOW_UPDATES] = {10000, 200}, [H2_SMALL_DATA] = {10000, 1000},
    [H2_OTHER_FRAMES] = {2000, 200},
};

void h2_rates_init(struct h2_rates *rates, uint64_t now_ms)
{
    for (size_t i = 0; i < H2_BUDGETS; ++i)
        rates->buckets[i] = (struct h2_bucket){.allowed = limits[i].burst, .since_ms = now_ms};
}

bool h2_rates_refill(struct h2_rates *rates, enum h2_abuse kind, uint64_t now_ms, uint64_t earned)
{
    struct h2_bucket *bucket = &rates->buckets[kind];
    uint64_t fresh = (now_ms - bucket->since_ms) * limits[kind].per_second / 1000 + earned;
    if (fresh == 0)
        return false;
    *bucket = (struct h2_bucket){.allowed = fresh < limits[kind].burst ? (uint32_t)fresh : limits[kind].burst, .since_ms = now_ms};
    return true;
}
