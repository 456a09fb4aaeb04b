#include "runtime/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/monotonic.h"

/* Of one thread; cells first, so that they begin a cache line and the next block can't share their last one. */
struct block {
    _Alignas(64) _Atomic int64_t cells[METRICS_MAX];
    struct block *next;
};

_Thread_local _Atomic int64_t *metrics_cells;

static const struct metric *rows;
static size_t row_count;
static struct block *blocks;
static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;

void metrics_init(const struct metric *table, size_t count)
{
    if (count > METRICS_MAX)
        abort();
    rows = table;
    row_count = count;
}

void metrics_thread(void)
{
    if (metrics_cells != NULL)
        return;
    struct block *block = aligned_alloc(_Alignof(struct block), sizeof(*block));
    if (block == NULL)
        abort();
    memset(block, 0, sizeof(*block));
    metrics_cells = block->cells;
    pthread_mutex_lock(&blocks_lock);
    block->next = blocks;
    blocks = block;
    pthread_mutex_unlock(&blocks_lock);
}

int64_t metric_sum(size_t id)
{
    int64_t sum = 0;
    pthread_mutex_lock(&blocks_lock);
    for (struct block *block = blocks; block != NULL; block = block->next)
        sum += atomic_load_explicit(&block->cells[id], memory_order_relaxed);
    pthread_mutex_unlock(&blocks_lock);
    return sum;
}

static const uint32_t bounds_us[METRIC_BOUNDS] = {50,    100,    250,    500,    1000,    2500,    5000,    10000,   25000,
                                                  50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};

void metric_time(size_t id, uint64_t us)
{
    size_t bucket = 0;
    while (bucket != METRIC_BOUNDS && us > bounds_us[bucket])
        ++bucket;
    metric_add(id + bucket, 1);
    metric_add(id + METRIC_BOUNDS + 1, (int64_t)us);
}

static void print_head(FILE *out, const char *name, enum metric_kind kind, const char *help)
{
    static const char *const types[] = {[METRIC_COUNTER] = "counter",
                                        [METRIC_GAUGE] = "gauge",
                                        [METRIC_GAUGE_SECONDS] = "gauge",
                                        [METRIC_HISTOGRAM] = "histogram",
                                        [METRIC_INFO] = "gauge"};
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[kind]);
}

/* "name_suffix{labels,le="…"} ", as much of it as there is. */
static void print_name(FILE *out, const struct metric *row, const char *suffix, const char *le)
{
    const char *labels = row->labels == NULL ? "" : row->labels;
    fprintf(out, "%s%s", row->name, suffix);
    if (labels[0] != '\0' || le != NULL)
        fprintf(out, "{%s%s%s%s%s}", labels, labels[0] != '\0' && le != NULL ? "," : "", le == NULL ? "" : "le=\"",
                le == NULL ? "" : le, le == NULL ? "" : "\"");
    putc(' ', out);
}

/* Microseconds in seconds. */
static void print_seconds(FILE *out, int64_t us)
{
    fprintf(out, "%s%" PRId64 ".%06d\n", us < 0 ? "-" : "", us < 0 ? -us / 1000000 : us / 1000000,
            (int)(us < 0 ? -us % 1000000 : us % 1000000));
}

/* The count is made from the buckets, so that the two agree whatever is counted meanwhile. */
static void print_histogram(FILE *out, size_t id)
{
    const struct metric *row = &rows[id];
    int64_t count = 0;
    for (size_t i = 0; i <= METRIC_BOUNDS; ++i) {
        char le[24] = "+Inf";
        if (i != METRIC_BOUNDS)
            snprintf(le, sizeof(le), "%g", bounds_us[i] / 1e6);
        count += metric_sum(id + i);
        print_name(out, row, "_bucket", le);
        fprintf(out, "%" PRId64 "\n", count);
    }
    print_name(out, row, "_sum", NULL);
    print_seconds(out, metric_sum(id + METRIC_BOUNDS + 1));
    print_name(out, row, "_count", NULL);
    fprintf(out, "%" PRId64 "\n", count);
}

static void print_row(FILE *out, size_t id)
{
    const struct metric *row = &rows[id];
    if (row->kind == METRIC_HISTOGRAM) {
        print_histogram(out, id);
        return;
    }
    print_name(out, row, "", NULL);
    if (row->kind == METRIC_GAUGE_SECONDS)
        print_seconds(out, metric_sum(id));
    else
        fprintf(out, "%" PRId64 "\n", row->kind == METRIC_INFO ? 1 : metric_sum(id));
}

static void print_rows(FILE *out)
{
    const char *last = "";
    for (size_t i = 0; i < row_count; ++i) {
        if (rows[i].name == NULL)
            continue; /* of a histogram */
        if (strcmp(rows[i].name, last) != 0)
            print_head(out, rows[i].name, rows[i].kind, rows[i].help);
        last = rows[i].name;
        print_row(out, i);
    }
}

int64_t metrics_resident(void)
{
    long long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%lld %lld", &size, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

/* Since Linux 6.2 the folder's size is the count; before, its entries are counted, without the one for reading it. */
static int64_t open_fds(void)
{
    struct stat st;
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return st.st_size;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return 0;
    int64_t count = -1;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static int64_t max_fds(void)
{
    struct rlimit files = {0, 0};
    getrlimit(RLIMIT_NOFILE, &files);
    return (int64_t)files.rlim_cur;
}

/* Seconds after boot at which the process started: field 22 of proc(5)'s stat, where field 2 may itself hold blanks and ')'. */
static double started_after_boot(void)
{
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    if (file == NULL)
        return 0;
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    const char *p = strrchr(text, ')');
    for (int field = 2; p != NULL && field < 22; ++field)
        p = strchr(p + 1, ' ');
    return p == NULL ? 0 : (double)strtoull(p, NULL, 10) / (double)sysconf(_SC_CLK_TCK);
}

static void print_process(FILE *out)
{
    print_head(out, "process_resident_memory_bytes", METRIC_GAUGE, "Resident memory size in bytes.");
    fprintf(out, "process_resident_memory_bytes %" PRId64 "\n", metrics_resident());
    print_head(out, "process_cpu_seconds_total", METRIC_COUNTER, "User and system CPU time spent in seconds.");
    fprintf(out, "process_cpu_seconds_total %.3f\n", (double)clock_us(CLOCK_PROCESS_CPUTIME_ID) / 1e6);
    print_head(out, "process_open_fds", METRIC_GAUGE, "Open file descriptors.");
    fprintf(out, "process_open_fds %" PRId64 "\n", open_fds());
    print_head(out, "process_max_fds", METRIC_GAUGE, "Open file descriptors the process may have.");
    fprintf(out, "process_max_fds %" PRId64 "\n", max_fds());
    print_head(out, "process_start_time_seconds", METRIC_GAUGE, "Start time of the process in seconds since 1970.");
    fprintf(out, "process_start_time_seconds %.2f\n",
            (double)(clock_us(CLOCK_REALTIME) - clock_us(CLOCK_BOOTTIME)) / 1e6 + started_after_boot());
}

char *metrics_render(size_t *length)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, length);
    if (out == NULL)
        abort();
    print_rows(out);
    print_process(out);
    if (fclose(out) != 0)
        abort();
    return text;
}
