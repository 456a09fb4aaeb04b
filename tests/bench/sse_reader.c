#include "tests/bench/sse_reader.h"

#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench.h"
#include "tests/bench/payload.h"

enum {
    FIELD = 5,
    CARRY_MORE = FIELD + 1 + 16
}; /* of a line that is longer than that and a payload the start is enough: it is none */

static void data_line(struct sse_event *event, const char *value, size_t n, size_t size)
{
    if (n != 0 && *value == ' ')
        ++value, --n;
    bool payload = event->data == SSE_NO_DATA && payload_read(value, n, size, &event->seq, &event->time_ns);
    event->data = payload ? SSE_PAYLOAD : SSE_FOREIGN;
}

/* A line without its end; true at the blank line behind an event with data. */
static bool line(struct sse_reader *reader, const char *p, size_t n, size_t size)
{
    if (n != 0 && p[n - 1] == '\r')
        --n;
    if (n == 0)
        return reader->event.data != SSE_NO_DATA;
    if (n >= FIELD && memcmp(p, "data:", FIELD) == 0)
        data_line(&reader->event, p + FIELD, n - FIELD, size);
    return false;
}

static void carry(struct sse_reader *reader, const char *p, size_t n, size_t size)
{
    const size_t most = CARRY_MORE + size;
    if (reader->carry == NULL && (reader->carry = malloc(most)) == NULL)
        bench_fail("no memory");
    if (n > most - reader->carried)
        n = most - reader->carried;
    memcpy(reader->carry + reader->carried, p, n);
    reader->carried += (uint32_t)n;
}

static bool carried_line(struct sse_reader *reader, const char *p, size_t n, size_t size)
{
    carry(reader, p, n, size);
    bool complete = line(reader, reader->carry, reader->carried, size);
    sse_reader_dispose(reader);
    return complete;
}

bool sse_reader_next(struct sse_reader *reader, const char **p, const char *end, size_t size, struct sse_event *event)
{
    while (*p < end) {
        const char *start = *p, *lf = memchr(start, '\n', (size_t)(end - start));
        *p = lf == NULL ? end : lf + 1;
        if (lf == NULL) {
            carry(reader, start, (size_t)(end - start), size);
            return false;
        }
        size_t n = (size_t)(lf - start);
        if (reader->carry != NULL ? carried_line(reader, start, n, size) : line(reader, start, n, size)) {
            *event = reader->event;
            reader->event.data = SSE_NO_DATA;
            return true;
        }
    }
    return false;
}

void sse_reader_dispose(struct sse_reader *reader)
{
    free(reader->carry);
    reader->carry = NULL;
    reader->carried = 0;
}
