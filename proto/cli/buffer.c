#include "proto/cli/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void reserve(struct buffer *buffer, size_t more)
{
    size_t need = buffer->n + more + 1;
    if (buffer->p != NULL && need <= buffer->room)
        return;
    buffer->room = 2 * need + 64;
    buffer->p = realloc(buffer->p, buffer->room);
    if (buffer->p == NULL)
        abort();
}

bool buffer_add(struct buffer *buffer, struct slice bytes, size_t max)
{
    if (buffer->n > max || bytes.n > max - buffer->n)
        return false;
    reserve(buffer, bytes.n);
    if (bytes.n != 0)
        memcpy(buffer->p + buffer->n, bytes.p, bytes.n);
    buffer->n += bytes.n;
    buffer->p[buffer->n] = '\0';
    return true;
}

void buffer_print(struct buffer *buffer, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        abort();
    buffer_add(buffer, slice_make(text, (size_t)n), SIZE_MAX / 4);
    free(text);
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->p);
    *buffer = (struct buffer){NULL, 0, 0};
}
