/* runtime/metrics. */
#include "runtime/metrics.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tests/check.h"

enum { STREAMS, OPENED, CLOSED_DRAIN, CLOSED_QUEUE, ROWS };

static const struct metric table[ROWS] = {
    [STREAMS] = {"sse_streams", NULL, METRIC_GAUGE, "Open streams."},
    [OPENED] = {"sse_opened_total", NULL, METRIC_COUNTER, "Streams opened."},
    [CLOSED_DRAIN] = {"sse_closed_total", "reason=\"drain\"", METRIC_COUNTER, "Streams closed."},
    [CLOSED_QUEUE] = {"sse_closed_total", "reason=\"queue full\"", METRIC_COUNTER, "Streams closed."},
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
    test_process();
    return check_end();
}
