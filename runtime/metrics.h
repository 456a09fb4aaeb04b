/* Counters, gauges and histograms, one cell for each thread and number, so that counting takes no lock and shares no cache line. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum metric_kind {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_GAUGE_SECONDS, /* a gauge whose cells hold microseconds */
    METRIC_HISTOGRAM, /* of times, shown in seconds; takes METRIC_HISTOGRAM_ROWS rows, of which it is the first and the others stay empty */
    METRIC_INFO, /* always 1: what counts are its labels */
};

/* The upper ends of a histogram's buckets go from 50 µs to 10 s; then one without end, and the sum. */
enum { METRIC_BOUNDS = 17, METRIC_HISTOGRAM_ROWS = METRIC_BOUNDS + 2 };

struct metric {
    const char *name; /* Prometheus name; rows of one name stand together and share kind and help */
    const char *labels; /* "reason=\"drain\"" or NULL */
    enum metric_kind kind;
    const char *help;
};

/* The program's table; call once before threads start. It stays borrowed. At most METRICS_MAX rows. */
enum { METRICS_MAX = 256 };
void metrics_init(const struct metric *table, size_t count);

/* Gives the calling thread its cells. Every thread that counts calls it once; they are never freed. */
void metrics_thread(void);

extern _Thread_local _Atomic int64_t *metrics_cells;

/* Adds to the calling thread's cell of row `id`; a gauge is the sum of all threads' cells. */
static inline void metric_add(size_t id, int64_t delta)
{
    _Atomic int64_t *cell = &metrics_cells[id];
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + delta, memory_order_relaxed);
}

/* The calling thread's cell. */
static inline int64_t metric_own(size_t id)
{
    return atomic_load_explicit(&metrics_cells[id], memory_order_relaxed);
}

/* Sets the calling thread's cell; for gauges that one thread owns. */
static inline void metric_set(size_t id, int64_t value)
{
    atomic_store_explicit(&metrics_cells[id], value, memory_order_relaxed);
}

/* One more time, in microseconds, for the histogram whose first row is `id`. */
void metric_time(size_t id, uint64_t us);

/* The sum over all threads. Any thread. */
int64_t metric_sum(size_t id);

/* How much memory of this process is in RAM, in bytes; 0 where the kernel does not tell. */
int64_t metrics_resident(void);

/* Prometheus text format 0.0.4 of all rows, malloc'd and NUL-terminated; the caller frees it. Any thread. Adds the standard
 * process_resident_memory_bytes, process_cpu_seconds_total, process_open_fds, process_max_fds and process_start_time_seconds. */
char *metrics_render(size_t *length);
