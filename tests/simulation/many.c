#include "tests/simulation/many.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/simulation/trace.h"

enum { JOBS = 64, SHOWN = 40, BATCH = 16, LONG_S = 20 };

/* What the processes share. */
struct shared {
    atomic_ullong next, passed, failed, steps, least_steps;
    struct {
        atomic_ullong seed, since_s;
    } now[JOBS];
};

static struct shared *shared;
static pid_t children[JOBS];

static void tell_failed(uint64_t seed, const char *why)
{
    if (atomic_fetch_add(&shared->failed, 1) < SHOWN) {
        printf("seed %" PRIu64 ": FAILED: %s\n", seed, why);
        fflush(stdout);
    }
}

static void run_seed(uint64_t seed)
{
    struct world_result result;
    world_run(seed, NULL, &result);
    atomic_fetch_add(&shared->steps, result.steps);
    for (unsigned long long least = atomic_load(&shared->least_steps);
         !result.failed && result.steps < least && !atomic_compare_exchange_weak(&shared->least_steps, &least, result.steps);)
        continue;
    if (result.failed)
        tell_failed(seed, result.why);
    else
        atomic_fetch_add(&shared->passed, 1);
}

static void work(const struct many_options *options, unsigned job, time_t until)
{
    while (options->seconds == 0 || time(NULL) < until) {
        uint64_t first = atomic_fetch_add(&shared->next, BATCH);
        for (uint64_t seed = first; seed < first + BATCH; ++seed) {
            if (seed > options->to || seed < options->from)
                _exit(0);
            atomic_store(&shared->now[job].seed, seed);
            atomic_store(&shared->now[job].since_s, (unsigned long long)time(NULL));
            run_seed(seed);
        }
    }
    _exit(0);
}

static void start(const struct many_options *options, unsigned job, time_t until)
{
    fflush(stdout);
    atomic_store(&shared->now[job].since_s, (unsigned long long)time(NULL)); /* it may not run at once */
    children[job] = fork();
    if (children[job] == 0)
        work(options, job, until);
}

/* One that turns for ever is ended, and its seed is a failure. */
static void end_long_ones(unsigned jobs)
{
    for (unsigned job = 0; job < jobs; ++job)
        if (children[job] > 0 && (unsigned long long)time(NULL) > atomic_load(&shared->now[job].since_s) + LONG_S)
            kill(children[job], SIGKILL);
}

static void watch(const struct many_options *options, unsigned jobs, time_t until)
{
    sigset_t ended;
    sigemptyset(&ended);
    sigaddset(&ended, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ended, NULL);
    for (unsigned running = jobs; running != 0;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) {
            end_long_ones(jobs);
            sigtimedwait(&ended, NULL, &(struct timespec){.tv_sec = 1}); /* until a child ends, or one may have taken too long */
            continue;
        }
        unsigned job = 0;
        while (children[job] != pid)
            ++job;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            children[job] = 0;
            --running;
            continue;
        }
        char why[64];
        snprintf(why, sizeof(why), "it ended with %s %d", WIFSIGNALED(status) ? "signal" : "status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        tell_failed(atomic_load(&shared->now[job].seed), why);
        start(options, job, until);
    }
}

/* The seeds at the beginnings of the file's lines; what follows them is for readers. */
static void run_kept(const char *name)
{
    char line[512];
    FILE *file = fopen(name, "r");
    if (file == NULL) {
        printf("cannot read %s\n", name);
        atomic_fetch_add(&shared->failed, 1);
        return;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        char *end;
        uint64_t seed = strtoull(line, &end, 10);
        int status = 0;
        if (end == line)
            continue;
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            run_seed(seed);
            _exit(0);
        }
        waitpid(pid, &status, 0);
        if (status != 0)
            tell_failed(seed, "it crashed");
    }
    fclose(file);
}

int many_run(const struct many_options *options)
{
    unsigned jobs = options->jobs != 0 ? options->jobs : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    time_t began = time(NULL), until = began + (time_t)options->seconds;
    jobs = jobs > JOBS ? JOBS : jobs;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    atomic_store(&shared->next, options->from);
    atomic_store(&shared->least_steps, UINT64_MAX);
    if (options->keep != NULL)
        run_kept(options->keep);
    for (unsigned job = 0; job < jobs; ++job) {
        atomic_store(&shared->now[job].since_s, (unsigned long long)began);
        start(options, job, until);
    }
    watch(options, jobs, until);
    uint64_t passed = atomic_load(&shared->passed), failed = atomic_load(&shared->failed);
    uint64_t all = passed + failed;
    printf("%" PRIu64 " worlds in %ld s on %u cores, from seed %" PRIu64 ", %" PRIu64 " steps each, %" PRIu64 " at least\n", all,
           (long)(time(NULL) - began), jobs, options->from, all == 0 ? 0 : (uint64_t)atomic_load(&shared->steps) / all,
           passed == 0 ? 0 : (uint64_t)atomic_load(&shared->least_steps));
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed != 0 || passed == 0;
}

/* ---- shrinking ---- */

/* In a process of its own, since it may crash. */
static bool fails(uint64_t seed, const struct world_cut *cut)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct world_result result;
        fclose(stderr);
        alarm(10);
        world_run(seed, cut, &result);
        _exit(result.failed);
    }
    waitpid(pid, &status, 0);
    return status != 0;
}

static uint32_t planned(uint64_t seed)
{
    struct world_cut none = {.out = {false}};
    struct world_result result;
    memset(none.out, 1, sizeof(none.out));
    world_run(seed, &none, &result);
    return result.planned;
}

int shrink(uint64_t seed)
{
    struct world_cut cut = {.out = {false}};
    struct world_result result;
    uint32_t count = planned(seed);
    if (!fails(seed, &cut)) {
        printf("seed %" PRIu64 ": passed\n", seed);
        return 2;
    }
    for (uint32_t size = count / 2; size != 0; size = size > 1 ? (size + 1) / 2 : 0)
        for (uint32_t first = 0; first < count; first += size) {
            struct world_cut less = cut;
            for (uint32_t i = first; i < count && i < first + size; ++i)
                less.out[i] = true;
            if (memcmp(&less, &cut, sizeof(cut)) != 0 && fails(seed, &less))
                cut = less;
        }
    uint32_t left = 0;
    printf("simulate --seed %" PRIu64 " --trace --without ", seed);
    for (uint32_t i = 0; i < count; ++i)
        cut.out[i] ? (void)printf("%u,", i) : (void)++left;
    printf("\n%u of %u steps are left:\n", left, count);
    fflush(stdout);
    trace_on = true;
    setvbuf(stdout, NULL, _IOLBF, 0);
    world_run(seed, &cut, &result);
    printf("seed %" PRIu64 ": %s\n", seed, result.why);
    return 1;
}
