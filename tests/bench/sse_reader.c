#include "tests/bench/sse_reader.h"

#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench.h"
#include "tests/bench/payload.h"

enum { FIELD = 5, CARRY_MAX = FIELD + 1 + PAYLOAD_SIZE + 16 }; /* of a longer line the start is enough: it is no payload */

static void data_line(struct sse_event *event, const char *value, size_t n)
{
    if (n != 0 && *value == ' ')
        ++value, --n;
    bool payload = event->data == SSE_NO_DATA && payload_read(value, n, &event->seq, &event->time_ns);
    event->data = payload ? SSE_PAYLOAD : SSE_FOREIGN;
}

/* A line without its end; true at the blank line behind an event with data. */
static bool line(struct sse_reader *reader, const char *p, size_t n)
{
    if (n != 0 && p[n - 1] == '\r')
        --n;
    if (n == 0)
        return reader->event.data != SSE_NO_DATA;
    if (n >= FIELD && memcmp(p, "data:", FIELD) == 0)
        data_line(&reader->event, p + FIELD, n - FIELD);
    return false;
}

static void carry(struct sse_reader *reader, const char *p, size_t n)
{
    if (reader->carry == NULL && (reader->carry = malloc(CARRY_MAX)) == NULL)
        bench_fail("no memory");
    if (n > CARRY_MAX - reader->carried)
        n = CARRY_MAX - reader->carried;
    memcpy(reader->carry + reader->carried, p, n);
    reader->carried += (uint32_t)n;
}

static bool carried_line(struct sse_reader *reader, const char *p, size_t n)
{
    carry(reader, p, n);
    bool complete = line(reader, reader->carry, reader->carried);
    sse_reader_dispose(reader);
    return complete;
}

bool sse_reader_next(struct sse_reader *reader, const char **p, const char *end, struct sse_event *event)
{
    while (*p < end) {
        const char *start = *p, *lf = memchr(start, '\n', (size_t)(end - start));
        *p = lf == NULL ? end : lf + 1;
        if (lf == NULL) {
            carry(reader, start, (size_t)(end - start));
            return false;
        }
        size_t n = (size_t)(lf - start);
        if (reader->carry != NULL ? carried_line(reader, start, n) : line(reader, start, n)) {
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
