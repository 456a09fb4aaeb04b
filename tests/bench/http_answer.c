#include "tests/bench/http_answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/bench/bench.h"

/* The value of a header line if it has this name, which ends with its colon. */
static const char *value_of(const char *line, const char *name)
{
    size_t n = strlen(name);
    if (strncasecmp(line, name, n) != 0)
        return NULL;
    return line + n + strspn(line + n, " \t");
}

static size_t header_line(const char *line, struct http_answer *answer, size_t body)
{
    const char *value;
    if ((value = value_of(line, "content-length:")) != NULL)
        return (size_t)strtoul(value, NULL, 10);
    if ((value = value_of(line, "connection:")) != NULL)
        answer->closes = strncasecmp(value, "close", 5) == 0;
    else if (value_of(line, "transfer-encoding:") != NULL)
        bench_fail("an answer in chunks, which this program does not read");
    return body;
}

size_t http_answer_read(const char *p, size_t n, struct http_answer *answer)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    size_t body = 0;
    if (end == NULL)
        return 0;
    if (end - p < 12 || memcmp(p, "HTTP/1.1 ", 9) != 0)
        bench_fail("no HTTP/1.1 answer: %.*s", (int)strcspn(p, "\r"), p);
    *answer = (struct http_answer){.status = (unsigned)strtoul(p + 9, NULL, 10)};
    for (const char *line = memchr(p, '\n', n); line < end; line = memchr(line, '\n', n - (size_t)(line - p)))
        body = header_line(++line, answer, body);
    size_t size = (size_t)(end - p) + 4 + body;
    return size <= n ? size : 0;
}
