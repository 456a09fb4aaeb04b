#include "tests/bench/http1.h"

#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench.h"

enum { HEAD_MAX = 8192, CHUNK_MAX = 1 << 30 };

static enum http1_got head_end(struct http1 *http1)
{
    char *head = http1->head;
    if (strncmp(head, "HTTP/1.1 ", 9) != 0 && strncmp(head, "HTTP/1.0 ", 9) != 0)
        return HTTP1_BAD;
    http1->status = (uint16_t)atoi(head + 9);
    http1->part = strcasestr(head, "\r\ntransfer-encoding: chunked\r\n") != NULL ? HTTP1_IN_SIZE : HTTP1_IN_REST;
    http1_dispose(http1);
    if (http1->status / 100 != 1)
        return HTTP1_HEAD;
    http1->part = HTTP1_IN_HEAD;
    return HTTP1_MORE;
}

/* The head is kept until its blank line is there. */
static enum http1_got head_bytes(struct http1 *http1, const char **p, const char *end)
{
    size_t before = http1->left, n = (size_t)(end - *p);
    if (n > HEAD_MAX - before)
        n = HEAD_MAX - before;
    if ((http1->head = realloc(http1->head, before + n + 1)) == NULL)
        bench_fail("no memory");
    memcpy(http1->head + before, *p, n);
    http1->head[before + n] = 0;
    size_t from = before < 3 ? 0 : before - 3;
    char *blank = memmem(http1->head + from, before + n - from, "\r\n\r\n", 4);
    http1->left = before + n;
    if (blank == NULL) {
        *p += n;
        return http1->left == HEAD_MAX ? HTTP1_BAD : HTTP1_MORE;
    }
    *p += (size_t)(blank + 4 - http1->head) - before;
    blank[2] = 0;
    return head_end(http1);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Up to the LF of the chunk-size line. */
static enum http1_got size_bytes(struct http1 *http1, const char **p, const char *end)
{
    while (*p < end) {
        char c = *(*p)++;
        int value = http1->part == HTTP1_IN_SIZE ? digit(c) : -1;
        if (value >= 0) {
            http1->left = http1->left * 16 + (size_t)value;
            if (http1->left > CHUNK_MAX)
                return HTTP1_BAD;
        } else if (c == '\n') {
            http1->part = HTTP1_IN_CHUNK;
            return http1->left == 0 ? HTTP1_END : HTTP1_MORE;
        } else if (c == '\r' || c == ';' || c == ' ') {
            http1->part = HTTP1_IN_EXTENSION;
        } else if (http1->part == HTTP1_IN_SIZE) {
            return HTTP1_BAD;
        }
    }
    return HTTP1_MORE;
}

static enum http1_got chunk_bytes(struct http1 *http1, const char **p, const char *end, const char **body, size_t *n)
{
    size_t there = (size_t)(end - *p);
    *body = *p;
    *n = there < http1->left ? there : http1->left;
    *p += *n;
    http1->left -= *n;
    if (http1->left == 0)
        http1->part = HTTP1_IN_CHUNK_END;
    return HTTP1_BODY;
}

static enum http1_got chunk_end(struct http1 *http1, const char **p)
{
    char c = *(*p)++;
    if (c == '\n')
        http1->part = HTTP1_IN_SIZE;
    return c == '\n' || c == '\r' ? HTTP1_MORE : HTTP1_BAD;
}

static enum http1_got step(struct http1 *http1, const char **p, const char *end, const char **body, size_t *n)
{
    switch ((enum http1_part)http1->part) {
    case HTTP1_IN_HEAD:
        return head_bytes(http1, p, end);
    case HTTP1_IN_SIZE:
    case HTTP1_IN_EXTENSION:
        return size_bytes(http1, p, end);
    case HTTP1_IN_CHUNK:
        return chunk_bytes(http1, p, end, body, n);
    case HTTP1_IN_CHUNK_END:
        return chunk_end(http1, p);
    case HTTP1_IN_REST:
        *body = *p;
        *n = (size_t)(end - *p);
        *p = end;
        return HTTP1_BODY;
    }
    return HTTP1_BAD;
}

enum http1_got http1_next(struct http1 *http1, const char **p, const char *end, const char **body, size_t *n)
{
    enum http1_got got = HTTP1_MORE;
    while (*p < end && got == HTTP1_MORE)
        got = step(http1, p, end, body, n);
    return got;
}

void http1_dispose(struct http1 *http1)
{
    free(http1->head);
    http1->head = NULL;
    http1->left = 0;
}
