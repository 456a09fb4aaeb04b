/* runtime/trim: when it gives memory back; then on a real loop, after a storm of small blocks some of which stay. */
#include "runtime/trim.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#include "runtime/monotonic.h"
#include "runtime/metrics.h"
#include "tests/check.h"

enum { MB = 1 << 20 };

static void test_waits_until_a_storm_is_over(void)
{
    struct trim trim = {.least = 10 * MB};
    check(!trim_is_due(&trim, 14 * MB, 4 * MB), "nothing more is idle than after the last trim");
    check(!trim_is_due(&trim, 60 * MB, 50 * MB), "all that came is in use");
    check(!trim_is_due(&trim, 60 * MB, 4 * MB), "free for less than a period");
    check(!trim_is_due(&trim, 60 * MB, 50 * MB), "in use again");
    check(!trim_is_due(&trim, 60 * MB, 4 * MB), "free for less than a period, again");
    check(trim_is_due(&trim, 60 * MB, 4 * MB), "free for a period");
}

static void test_does_not_repeat_what_gave_nothing(void)
{
    struct trim trim = {.least = 10 * MB};
    trim_is_due(&trim, 60 * MB, 4 * MB);
    check(trim_is_due(&trim, 60 * MB, 4 * MB), "46 MB are free");
    trim_done(&trim, 59 * MB, 4 * MB);
    for (int i = 0; i < 3; ++i)
        check(!trim_is_due(&trim, 59 * MB, 4 * MB), "they can't be given back");
    check(!trim_is_due(&trim, 59 * MB, 1 * MB) && trim_is_due(&trim, 59 * MB, 1 * MB), "3 MB more are free");
}

static void test_learns_that_less_is_idle(void)
{
    struct trim trim = {.least = 50 * MB};
    check(!trim_is_due(&trim, 60 * MB, 50 * MB), "what was idle is in use");
    check(!trim_is_due(&trim, 30 * MB, 15 * MB) && trim_is_due(&trim, 30 * MB, 15 * MB), "5 MB are free");
}

static void test_leaves_what_is_little_for_a_large_process(void)
{
    struct trim trim = {.least = 10 * MB};
    for (int i = 0; i < 3; ++i)
        check(!trim_is_due(&trim, 1000 * MB, 980 * MB), "10 MB of 1,000");
    check(!trim_is_due(&trim, 1000 * MB, 970 * MB) && trim_is_due(&trim, 1000 * MB, 970 * MB), "20 MB of 1,000");
}

static void test_tries_again_what_was_held(void)
{
    struct trim trim = {0};
    trim_done(&trim, 60 * MB, 4 * MB);
    for (int i = 0; i < 9; ++i)
        check(!trim_is_due(&trim, 60 * MB, 4 * MB), "look %d finds nothing new", i + 1);
    check(trim_is_due(&trim, 60 * MB, 4 * MB), "at the tenth, blocks may be gone that held their pages");
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* their allocators keep what is free */

enum { BLOCKS = 64 * 1024, BLOCK_BYTES = 1000, STAYS = 1024, WAIT_MS = 20000 };

static void *kept[2 * BLOCKS / STAYS];
static size_t kept_count;

/* One block of some megabyte stays, as in a channel that opened meanwhile: so the heap can't shrink from its end. */
static void *storm(void *data)
{
    static void *blocks[BLOCKS];
    (void)data;
    for (size_t i = 0; i < BLOCKS; ++i) {
        blocks[i] = h2o_mem_alloc(BLOCK_BYTES);
        memset(blocks[i], 1, BLOCK_BYTES);
    }
    for (size_t i = 0; i < BLOCKS; ++i)
        if (i % STAYS == STAYS - 1)
            kept[kept_count++] = blocks[i];
        else
            free(blocks[i]);
    return NULL;
}

static void test_gives_back_soon(void)
{
    pthread_t thread;
    h2o_loop_t *loop = h2o_evloop_create();
    trim_start(loop);
    int64_t before = metrics_resident();
    storm(NULL);
    if (pthread_create(&thread, NULL, storm, NULL) != 0)
        abort();
    pthread_join(thread, NULL);
    check(metrics_resident() > before + 32 * MB, "the heap keeps what is free");
    for (uint64_t end = monotonic_ms() + WAIT_MS; metrics_resident() > before + 4 * MB && monotonic_ms() < end;)
        h2o_evloop_run(loop, 100);
    check(metrics_resident() <= before + 4 * MB, "%lld KB more than before the storm",
          (long long)(metrics_resident() - before) / 1024);
    for (size_t i = 0; i < kept_count; ++i)
        free(kept[i]);
}

/* malloc_trim(3) leaves the end of a thread's heap as it is, so it may not get long: not even after a large block. */
static void *bodies(void *data)
{
    enum { COUNT = 12 };
    char *blocks[COUNT];
    (void)data;
    free(h2o_mem_alloc(8 * MB));
    for (size_t i = 0; i < COUNT; ++i)
        memset(blocks[i] = h2o_mem_alloc(MB - 100), 1, MB - 100);
    for (size_t i = 0; i < COUNT; ++i)
        free(blocks[i]);
    return NULL;
}

static void test_keeps_little_for_each_thread(void)
{
    pthread_t thread;
    int64_t before = metrics_resident();
    if (pthread_create(&thread, NULL, bodies, NULL) != 0)
        abort();
    pthread_join(thread, NULL);
    check(metrics_resident() <= before + 2 * MB, "%lld KB more than before", (long long)(metrics_resident() - before) / 1024);
}

/* Blocks of all sizes that are free must not keep the pages that they share with larger ones. */
static void test_keeps_no_small_blocks(void)
{
    enum { SIZES = 64, EACH = 7, STEP = 16, PAGE = 4096 };
    void *small[SIZES * EACH], *between[SIZES * EACH];
    malloc_trim(0);
    int64_t before = metrics_resident();
    for (size_t i = 0; i < SIZES * EACH; ++i) {
        small[i] = h2o_mem_alloc(i / EACH * STEP + STEP);
        memset(between[i] = h2o_mem_alloc(PAGE), 1, PAGE);
    }
    for (size_t i = 0; i < SIZES * EACH; ++i) {
        free(small[i]);
        free(between[i]);
    }
    malloc_trim(0);
    check(metrics_resident() <= before + MB / 4, "%lld KB more than before", (long long)(metrics_resident() - before) / 1024);
}

#endif

int main(int argc, char **argv)
{
    (void)argc;
    trim_prepare(argv);
    test_waits_until_a_storm_is_over();
    test_does_not_repeat_what_gave_nothing();
    test_learns_that_less_is_idle();
    test_leaves_what_is_little_for_a_large_process();
    test_tries_again_what_was_held();
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    test_gives_back_soon();
    test_keeps_little_for_each_thread();
    test_keeps_no_small_blocks();
#endif
    return check_end();
}
