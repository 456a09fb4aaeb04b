#include "runtime/trim.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "runtime/metrics.h"
#include "runtime/monotonic.h"

enum {
    PERIOD_MS = 1000,
    LOOKS = 10, /* after so many a trim is due again: blocks that held their pages then may be free now */
    PAUSE = 400, /* times what a look cost, before the next: a quarter percent of the time at most */
    MUCH_BYTES = 65536,
    MUCH_PART = 64, /* or this part of what is resident, where that is more */
    KEPT_BYTES = 65536, /* at the end of the heap, for what comes next */
    /* a block of its own: given back at once, at the price of 1,000 page faults. Events are smaller, unless BODY_LIMIT is raised */
    LARGE_BYTES = 4194304,
    END_BYTES = 524288, /* at most, at the end of each thread's heap, where a trim can't reach */
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
    return ++trim->looks >= LOOKS || (was_much && trim->was_much);
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
    uint64_t since_us = clock_us(CLOCK_THREAD_CPUTIME_ID);
    if (trim_is_due(&all.trim, metrics_resident(), used_bytes())) {
        malloc_trim(KEPT_BYTES);
        trim_done(&all.trim, metrics_resident(), used_bytes());
    }
    uint64_t pause_ms = (clock_us(CLOCK_THREAD_CPUTIME_ID) - since_us) * PAUSE / 1000;
    timer_start(&all.timer, pause_ms < PERIOD_MS ? PERIOD_MS : pause_ms);
}

/* glibc keeps up to seven free blocks of each size for each thread, wherever they are, and each of them keeps its page: within an hour that grew to a megabyte, and no trim
 * frees it. It can be turned off before a program begins only, so this one begins once more. A process with more privileges than its parent is not listened to. */
static void without_thread_caches(char **argv)
{
    if (getenv("GLIBC_TUNABLES") != NULL || getauxval(AT_SECURE) != 0 ||
        setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1) != 0)
        return;
    execv((const char *)getauxval(AT_EXECFN), argv);
    /* it can't be found any more: then with the caches */
}

void trim_prepare(char **argv)
{
    without_thread_caches(argv);
    /* else the allocator raises both with each larger block that is freed, up to 32 and 64 MiB */
    if (getenv("MALLOC_MMAP_THRESHOLD_") == NULL)
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    if (getenv("MALLOC_TRIM_THRESHOLD_") == NULL)
        mallopt(M_TRIM_THRESHOLD, END_BYTES);
}

void trim_start(h2o_loop_t *loop)
{
    trim_done(&all.trim, metrics_resident(), used_bytes());
    timer_init(&all.timer, loop, on_timer, NULL);
    timer_start(&all.timer, PERIOD_MS);
}
