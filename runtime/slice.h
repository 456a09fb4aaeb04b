/* A borrowed view of bytes: pointer and length, no terminating NUL. Whoever made it owns the bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct slice {
    const char *p;
    size_t n;
};

/* For string literals only: the length is taken at compile time. */
#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})

static inline struct slice slice_of(const char *s)
{
    return (struct slice){s, strlen(s)};
}

static inline struct slice slice_make(const char *p, size_t n)
{
    return (struct slice){p, n};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* The same, where upper and lower case of ASCII letters are one. */
static inline bool slice_eq_nocase(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

/* The part of s after its first n bytes; n must not exceed s.n. */
static inline struct slice slice_from(struct slice s, size_t n)
{
    return (struct slice){s.p + n, s.n - n};
}

/* Without leading and trailing spaces and tabs (the OWS of RFC 9110 section 5.6.3). */
static inline struct slice slice_trim(struct slice s)
{
    while (s.n != 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        ++s.p, --s.n;
    while (s.n != 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        --s.n;
    return s;
}

/* Takes the bytes before the first `sep` off the front of *rest and returns them; the separator is dropped. Where there is no
 * separator the whole rest is returned and *rest becomes {NULL, 0}: loop while rest.p != NULL. */
static inline struct slice slice_split(struct slice *rest, char sep)
{
    const char *end = rest->n == 0 ? NULL : memchr(rest->p, (unsigned char)sep, rest->n);
    struct slice head = {rest->p, end == NULL ? rest->n : (size_t)(end - rest->p)};
    *rest = end == NULL ? (struct slice){NULL, 0} : slice_from(*rest, head.n + 1);
    return head;
}
