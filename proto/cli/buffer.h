/* Bytes that grow up to a bound. Zeroed memory is the empty one. */
#pragma once

#include "runtime/slice.h"

struct buffer {
    char *p;
    size_t n, room;
};

/* Adds the bytes. False, and nothing is added, when there would be more than `max`. No memory ends the process. */
bool buffer_add(struct buffer *buffer, struct slice bytes, size_t max);

/* The same without a bound, for what this program makes itself; printf's format. */
void buffer_print(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What it holds, until it is changed. A NUL, which is not counted, is behind it once something was added. */
static inline struct slice buffer_slice(const struct buffer *buffer)
{
    return buffer->p == NULL ? SLICE("") : slice_make(buffer->p, buffer->n);
}

/* Empties it and keeps its memory. */
static inline void buffer_clear(struct buffer *buffer)
{
    buffer->n = 0;
}

void buffer_free(struct buffer *buffer);
