/* runtime/h2_rates: facts about a bucket, on a clock of the test's. */
#include "runtime/h2o/h2_rates.h"

#include "tests/check.h"

static struct h2_rates budget;

/* How many of the kind are let in at this moment, up to `most`; `earned` counts when the bucket is first filled. */
static unsigned take(enum h2_abuse kind, unsigned most, uint64_t now_ms, uint64_t earned)
{
    for (unsigned taken = 0;; ++taken) {
        if (taken == most)
            return taken;
        if (h2_rates_take(&budget, kind))
            continue;
        if (!h2_rates_refill(&budget, kind, now_ms, earned) || !h2_rates_take(&budget, kind))
            return taken;
        earned = 0;
    }
}

int main(void)
{
    h2_rates_init(&budget, 1000);
    check(take(H2_RESETS, 5000, 1000, 0) == 1000, "a full bucket at once, and not one more");
    check(take(H2_RESETS, 5000, 1009, 0) == 0, "too little time brings none");
    check(take(H2_RESETS, 5000, 2000, 0) == 100, "a second brings its share");
    check(take(H2_RESETS, 5000, 1000000, 0) == 1000, "a long time fills the bucket, and no more");
    check(take(H2_PINGS, 5000, 1000, 0) == 1000, "each kind has a bucket of its own");
    unsigned total = 0;
    h2_rates_init(&budget, 0);
    for (uint64_t second = 0; second < 600; ++second)
        total += take(H2_RESETS, 90, second * 1000, 0);
    check(total == 600 * 90, "90 resets a second go on for ever");
    h2_rates_init(&budget, 0);
    check(take(H2_WINDOW_UPDATES, 100000, 0, 700) == 10700, "what was earned is let in beside the bucket");
    check(take(H2_WINDOW_UPDATES, 100000, 0, 1 << 30) == 10000, "… and is no more than a bucket at a time");
    return check_end();
}
