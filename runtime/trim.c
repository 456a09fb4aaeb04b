#include "runtime/trim.h"

#include <malloc.h>
#include <stdlib.h>

#include "runtime/monotonic.h"
#include "runtime/resident.h"

enum {
    PERIOD_MS = 1000,
    PAUSE = 200, /* times what a look took, before the next: 0.5 % of the time at most */
    MUCH_BYTES = 131072,
    MUCH_PART = 64, /* or this part of what is resident, where that is more */
    KEPT_BYTES = 65536, /* at the end of the heap, for what comes next */
    LARGE_BYTES = 131072, /* a block of its own, given back at once */
};

static struct {
    struct timer timer;
    struct trim trim;
} all;

bool trim_is_due(struct trim *trim, int64_t resident, int64_t used)
{
    int64_t idle = resident - used, part = resident / MUCH_PART;
    if (idle < trim->least)
        trim->least = idle;
    bool was_much = trim->was_much;
    trim->was_much = idle - trim->least > (part > MUCH_BYTES ? part : MUCH_BYTES);
    return was_much && trim->was_much;
}

void trim_done(struct trim *trim, int64_t resident, int64_t used)
{
    *trim = (struct trim){.least = resident - used};
}

static int64_t used_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return (int64_t)(info.uordblks + info.hblkhd);
}

static void on_timer(void *data)
{
    (void)data;
    uint64_t since_us = monotonic_us();
    if (trim_is_due(&all.trim, resident_bytes(), used_bytes())) {
        malloc_trim(KEPT_BYTES);
        trim_done(&all.trim, resident_bytes(), used_bytes());
    }
    uint64_t pause_ms = (monotonic_us() - since_us) * PAUSE / 1000;
    timer_start(&all.timer, pause_ms < PERIOD_MS ? PERIOD_MS : pause_ms);
}

/* Else the allocator raises both with each large block that is freed: an event of 1 MiB, and each thread keeps 2 MiB for good. */
void trim_prepare(void)
{
    if (getenv("MALLOC_MMAP_THRESHOLD_") == NULL)
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    if (getenv("MALLOC_TRIM_THRESHOLD_") == NULL)
        mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BYTES);
}

void trim_start(h2o_loop_t *loop)
{
    trim_done(&all.trim, resident_bytes(), used_bytes());
    timer_init(&all.timer, loop, on_timer, NULL);
    timer_start(&all.timer, PERIOD_MS);
}
