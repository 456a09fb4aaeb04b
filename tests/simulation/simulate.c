/* simulate: worlds by their seeds. See README.md.
 *
 *     simulate --seed N [--trace] [--without I,J,…]     one, and what happened in it
 *     simulate --seeds A..B                             many, on all cores
 *     simulate --minutes M [--from A]                   as many as there is time for
 *     simulate --shrink N                               leaves out steps of a seed that fails, as long as it fails
 *     … --keep FILE                                     the seeds in this file first */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/simulation/many.h"
#include "tests/simulation/plan.h"
#include "tests/simulation/trace.h"

static void read_without(struct world_cut *cut, const char *list)
{
    for (char *end; *list != 0; list = *end == ',' ? end + 1 : end) {
        unsigned long step = strtoul(list, &end, 10);
        if (end == list || step >= STEPS_MAX)
            return;
        cut->out[step] = true;
    }
}

static int run_one(uint64_t seed, const struct world_cut *cut, bool trace)
{
    struct world_result result;
    trace_on = trace;
    setvbuf(stdout, NULL, _IOLBF, 0);
    world_run(seed, cut, &result);
    printf("seed %" PRIu64 ": %s%s (%" PRIu64 " steps, digest %016" PRIx64 ")\n", seed, result.failed ? "FAILED: " : "passed",
           result.failed ? result.why : "", result.steps, result.digest);
    return result.failed;
}

static int usage(void)
{
    fputs("usage: simulate --seed N [--trace] [--without I,J,…] | --seeds A..B | --minutes M [--from A] | --shrink N\n"
          "       [--keep FILE] [--jobs N]\n",
          stderr);
    return 2;
}

struct wishes {
    enum { NOTHING, ONE, SEVERAL, SHRINK } what;
    uint64_t seed;
    bool trace;
    struct world_cut cut;
    struct many_options many;
};

static bool read_wish(struct wishes *wishes, const char *name, const char *value)
{
    char *end;
    if (strcmp(name, "--seed") == 0 || strcmp(name, "--shrink") == 0) {
        wishes->what = name[3] == 'e' ? ONE : SHRINK;
        wishes->seed = strtoull(value, NULL, 0);
    } else if (strcmp(name, "--seeds") == 0) {
        wishes->what = SEVERAL;
        wishes->many.from = strtoull(value, &end, 0);
        wishes->many.to = strncmp(end, "..", 2) == 0 ? strtoull(end + 2, NULL, 0) : wishes->many.from;
    } else if (strcmp(name, "--minutes") == 0) {
        wishes->what = SEVERAL;
        wishes->many.seconds = (uint64_t)(strtod(value, NULL) * 60);
    } else if (strcmp(name, "--from") == 0) {
        wishes->many.from = strtoull(value, NULL, 0);
    } else if (strcmp(name, "--jobs") == 0) {
        wishes->many.jobs = (unsigned)strtoul(value, NULL, 0);
    } else if (strcmp(name, "--keep") == 0) {
        wishes->many.keep = value;
    } else if (strcmp(name, "--without") == 0) {
        read_without(&wishes->cut, value);
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct wishes wishes = {.many = {.to = UINT64_MAX}};
    for (int i = 1; i < argc; ++i) {
        if (strcmp(argv[i], "--trace") == 0)
            wishes.trace = true;
        else if (i + 1 == argc || !read_wish(&wishes, argv[i], argv[i + 1]))
            return usage();
        else
            ++i;
    }
    switch (wishes.what) {
    case ONE:
        return run_one(wishes.seed, &wishes.cut, wishes.trace);
    case SEVERAL:
        return many_run(&wishes.many);
    case SHRINK:
        return shrink(wishes.seed);
    case NOTHING:
        break;
    }
    return usage();
}
