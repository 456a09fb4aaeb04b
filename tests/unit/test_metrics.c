/* runtime/metrics. */
#include "runtime/metrics.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tests/check.h"

enum {
    STREAMS,
    OPENED,
    CLOSED_DRAIN,
    CLOSED_QUEUE,
    TOOK,
    TOOK_LAST = TOOK + METRIC_HISTOGRAM_ROWS - 1,
    TOOK_LONG,
    TOOK_LONG_LAST = TOOK_LONG + METRIC_HISTOGRAM_ROWS - 1,
    AGE,
    BUILD,
    ROWS,
};

static const struct metric table[ROWS] = {
    [STREAMS] = {"sse_streams", NULL, METRIC_GAUGE, "Open streams."},
    [OPENED] = {"sse_opened_total", NULL, METRIC_COUNTER, "Streams opened."},
    [CLOSED_DRAIN] = {"sse_closed_total", "reason=\"drain\"", METRIC_COUNTER, "Streams closed."},
    [CLOSED_QUEUE] = {"sse_closed_total", "reason=\"queue full\"", METRIC_COUNTER, "Streams closed."},
    [TOOK] = {"sse_took_seconds", "way=\"short\"", METRIC_HISTOGRAM, "Time it took."},
    [TOOK_LONG] = {"sse_took_seconds", "way=\"long\"", METRIC_HISTOGRAM, "Time it took."},
    [AGE] = {"sse_age_seconds", NULL, METRIC_GAUGE_SECONDS, "Age."},
    [BUILD] = {"sse_build_info", "version=\"1\"", METRIC_INFO, "Build."},
};

enum { THREADS = 4, ROUNDS = 20000 };

static void *count(void *cells)
{
    metrics_thread();
    *(void **)cells = (void *)metrics_cells;
    for (int i = 0; i < ROUNDS; ++i)
        metric_add(OPENED, 1);
    metric_add(STREAMS, 5);
    metric_add(STREAMS, -3);
    metric_set(CLOSED_QUEUE, 7);
    metric_time(TOOK, 2000000);
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[THREADS];
    void *cells[THREADS];
    bool apart = true;
    for (int i = 0; i < THREADS; ++i)
        pthread_create(&threads[i], NULL, count, &cells[i]);
    for (int i = 0; i < THREADS; ++i) {
        pthread_join(threads[i], NULL);
        apart = apart && (uintptr_t)cells[i] % 64 == 0;
        for (int j = 0; j < i; ++j)
            apart = apart && cells[i] != cells[j];
    }
    check(apart, "each thread has cells of its own, beginning a cache line");
    check(metric_sum(OPENED) == THREADS * ROUNDS, "a counter is the sum of all threads, also those that ended");
    check(metric_sum(STREAMS) == THREADS * 2, "so is a gauge");
    check(metric_sum(CLOSED_QUEUE) == THREADS * 7, "set replaces the thread's own cell");
    check(metric_sum(CLOSED_DRAIN) == 0, "what was never counted is 0");
    metrics_thread();
    _Atomic int64_t *mine = metrics_cells;
    metrics_thread();
    check(mine == metrics_cells, "registering twice changes nothing");
}

/* The number after "NAME " at a line's start; -1 when there is no such line. */
static double value_of(const char *text, const char *name)
{
    char start[100];
    snprintf(start, sizeof(start), "\n%s ", name);
    const char *at = strstr(text, start);
    return at == NULL ? -1 : strtod(at + strlen(start), NULL);
}

static double process_value(const char *name)
{
    size_t n;
    char *text = metrics_render(&n);
    double value = value_of(text, name);
    free(text);
    return value;
}

static void test_text(void)
{
    size_t n;
    char *text = metrics_render(&n);
    static const char want[] = "# HELP sse_streams Open streams.\n"
                               "# TYPE sse_streams gauge\n"
                               "sse_streams 8\n"
                               "# HELP sse_opened_total Streams opened.\n"
                               "# TYPE sse_opened_total counter\n"
                               "sse_opened_total 80000\n"
                               "# HELP sse_closed_total Streams closed.\n"
                               "# TYPE sse_closed_total counter\n"
                               "sse_closed_total{reason=\"drain\"} 0\n"
                               "sse_closed_total{reason=\"queue full\"} 28\n";
    check(strlen(text) == n && text[n - 1] == '\n', "the text is NUL-terminated after its length and ends with a line break");
    check_slice(slice_make(text, sizeof(want) - 1 < n ? sizeof(want) - 1 : n), slice_of(want),
                "rows in order, HELP and TYPE once for a name");
    free(text);
}

/* The text from the line that begins with `from` on, cut before the line that begins with `to`. */
static struct slice part(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    const char *end = at == NULL ? NULL : strstr(at, to);
    return at == NULL ? (struct slice){NULL, 0} : slice_make(at, end == NULL ? strlen(at) : (size_t)(end - at));
}

static void test_histogram(void)
{
    static const uint64_t times_us[] = {0, 50, 51, 100, 999, 1000, 1001, 10000000, 10000001, 3600000000};
    for (size_t i = 0; i < sizeof(times_us) / sizeof(times_us[0]); ++i)
        metric_time(TOOK_LONG, times_us[i]);
    metric_set(AGE, 1500250);
    size_t n;
    char *text = metrics_render(&n);
    check_slice(part(text, "sse_took_seconds_bucket{way=\"long\"", "# HELP sse_age"),
                SLICE("sse_took_seconds_bucket{way=\"long\",le=\"5e-05\"} 2\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"0.0001\"} 4\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"0.00025\"} 4\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"0.0005\"} 4\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"0.001\"} 6\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"0.0025\"} 7\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"0.005\"} 7\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"0.01\"} 7\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"0.025\"} 7\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"0.05\"} 7\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"0.1\"} 7\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"0.25\"} 7\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"0.5\"} 7\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"1\"} 7\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"2.5\"} 7\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"5\"} 7\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"10\"} 8\n"
                      "sse_took_seconds_bucket{way=\"long\",le=\"+Inf\"} 10\n"
                      "sse_took_seconds_sum{way=\"long\"} 3620.003202\n"
                      "sse_took_seconds_count{way=\"long\"} 10\n"),
                "a time counts in every bucket whose end it does not pass");
    check_slice(part(text, "# HELP sse_took", "sse_took_seconds_bucket{way=\"short\",le=\"0.0001\"}"),
                SLICE("# HELP sse_took_seconds Time it took.\n# TYPE sse_took_seconds histogram\n"
                      "sse_took_seconds_bucket{way=\"short\",le=\"5e-05\"} 0\n"),
                "one head for both histograms");
    check_slice(part(text, "sse_took_seconds_sum{way=\"short\"", "sse_took_seconds_bucket{way=\"long\""),
                SLICE("sse_took_seconds_sum{way=\"short\"} 8.000000\nsse_took_seconds_count{way=\"short\"} 4\n"),
                "which is the sum of all threads");
    check_slice(part(text, "# HELP sse_age", "# HELP process"),
                SLICE("# HELP sse_age_seconds Age.\n# TYPE sse_age_seconds gauge\nsse_age_seconds 1.500250\n"
                      "# HELP sse_build_info Build.\n# TYPE sse_build_info gauge\nsse_build_info{version=\"1\"} 1\n"),
                "microseconds are shown in seconds, and what is only told is 1");
    free(text);
}

static void test_process(void)
{
    double rss = process_value("process_resident_memory_bytes");
    check(rss > 500e3 && rss < 100e9, "resident memory is plausible (%.0f)", rss);
    double fds = process_value("process_open_fds");
    int extra[10];
    for (int i = 0; i < 10; ++i)
        extra[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    check(fds >= 3 && process_value("process_open_fds") == fds + 10, "open descriptors are counted (%.0f)", fds);
    for (int i = 0; i < 10; ++i)
        close(extra[i]);
    check(process_value("process_max_fds") >= fds + 10, "and how many there may be");
    double age = (double)time(NULL) - process_value("process_start_time_seconds");
    check(age > -2 && age < 60, "the process started a moment ago (%.2f s)", age);
    double cpu = process_value("process_cpu_seconds_total");
    check(cpu >= 0 && cpu < 60, "CPU time is plausible (%.3f s)", cpu);
}

int main(void)
{
    metrics_init(table, ROWS);
    test_threads();
    test_text();
    test_histogram();
    test_process();
    return check_end();
}
