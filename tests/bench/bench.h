/* The load programs of the benchmark: one executable, one sub-command each. `argv[0]` is the sub-command's name; each returns the
 * process's exit status. What they take and print is in README.md. */
#pragma once

#include <stdint.h>

int bench_read(int argc, char **argv);
int bench_churn(int argc, char **argv);
int bench_floor(int argc, char **argv);
int bench_publish(int argc, char **argv);
int bench_post(int argc, char **argv);

/* Says why on stderr and exits with 2: for what a benchmark cannot go on after. */
_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* CLOCK_MONOTONIC. */
uint64_t bench_now_ns(void);

/* User and system time of this process so far. */
uint64_t bench_cpu_us(void);

/* The soft limit of descriptors raised to the hard one; the hard one too where it is below `wanted`; fails where that is not
 * allowed. */
void bench_descriptors(uint64_t wanted);

/* How many conversions `%d` a path pattern has; fails on any other conversion, more than one, or
 * more than BENCH_PATTERN_MAX bytes: so it may go to printf. */
enum { BENCH_PATTERN_MAX = 512 };
unsigned bench_pattern(const char *pattern);
