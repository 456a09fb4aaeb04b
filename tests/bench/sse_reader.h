/* Finds the benchmark's payloads in the bytes of one event stream, however they are cut. Lines end with LF or CRLF; fields come in
 * any order, and only `data` counts. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sse_data { SSE_NO_DATA, SSE_PAYLOAD, SSE_FOREIGN }; /* FOREIGN: data that is no payload, or of more than one line */

struct sse_event {
    enum sse_data data;
    uint64_t seq, time_ns; /* of a payload */
};

/* Zeroed is the start of a stream. */
struct sse_reader {
    char *carry; /* owned; a line whose end has not come, NULL between lines */
    uint32_t carried;
    struct sse_event event; /* as far as it was read */
};

/* True with the next event that has data; *p moves behind it. False when all up to `end` is consumed. Payloads have `size` bytes. */
bool sse_reader_next(struct sse_reader *reader, const char **p, const char *end, size_t size, struct sse_event *event);

void sse_reader_dispose(struct sse_reader *reader);
