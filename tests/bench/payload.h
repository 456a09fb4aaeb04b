/* The data of a benchmark event: "SEQ TIME PAD", of one size in all events of a run, without a line break. SEQ counts from 1 in its channel; TIME is
 * the CLOCK_MONOTONIC nanosecond at which it was due, so that a publisher that runs late counts as latency. Both decimal; PAD is
 * dots. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { PAYLOAD_SIZE = 256, PAYLOAD_MIN = 48, PAYLOAD_MAX = 32768 }; /* bytes: unless told otherwise; bounds */

/* The decimal digits of `value` at `p`; returns what follows them. */
static inline char *payload_digits(char *p, uint64_t value)
{
    char digits[20];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    while (n != 0)
        *p++ = digits[--n];
    return p;
}

static inline void payload_write(char *out, size_t size, uint64_t seq, uint64_t time_ns)
{
    char *p = payload_digits(out, seq);
    *p++ = ' ';
    p = payload_digits(p, time_ns);
    *p++ = ' ';
    memset(p, '.', (size_t)(out + size - p));
}

/* A decimal number and the space behind it; NULL if it is not there before `end`. */
static inline const char *payload_number(const char *p, const char *end, uint64_t *value)
{
    const char *start = p;
    uint64_t sum = 0;
    for (; p < end && (unsigned)(*p - '0') < 10; ++p)
        sum = sum * 10 + (unsigned)(*p - '0');
    if (p == start || p == end || *p != ' ')
        return NULL;
    *value = sum;
    return p + 1;
}

/* False if these `n` bytes are no payload of that size. */
static inline bool payload_read(const char *p, size_t n, size_t size, uint64_t *seq, uint64_t *time_ns)
{
    const char *end = p + n;
    if (n != size || end[-1] != '.')
        return false;
    p = payload_number(p, end, seq);
    return p != NULL && payload_number(p, end, time_ns) != NULL;
}
