/* Reads the golden cases of proto/vectors; proto/README.md says how bytes are written there. A broken file ends the test. */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <yajl/yajl_tree.h>

#include "tests/check.h"

/* What vector_bytes() had to put together; all of it lives until the test ends. */
static char vector_memory[1 << 16];
static size_t vector_used;

CHECK_UNUSED static void vector_die(const char *what, const char *which)
{
    printf("Bail out! %s: %s\n", what, which);
    exit(2);
}

/* The file, to be freed with yajl_tree_free(). */
CHECK_UNUSED static yajl_val vector_file(const char *name)
{
    static char text[1 << 17];
    char path[4096], fault[1024];
    FILE *file;
    size_t n;
    yajl_val tree;
    snprintf(path, sizeof(path), "%s/%s", VECTORS, name);
    if ((file = fopen(path, "rb")) == NULL)
        vector_die("cannot open", path);
    n = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[n] = '\0';
    if (n == sizeof(text) - 1 || strstr(text, "\\u0000") != NULL)
        vector_die("too long, or with a \\u0000, which yajl's tree cuts off", path);
    if ((tree = yajl_tree_parse(text, fault, sizeof(fault))) == NULL)
        vector_die(path, fault);
    return tree;
}

/* The member or NULL. */
CHECK_UNUSED static yajl_val vector_get(yajl_val row, const char *name)
{
    return YAJL_IS_OBJECT(row) ? yajl_tree_get(row, (const char *[]){name, NULL}, yajl_t_any) : NULL;
}

struct vector_rows {
    yajl_val *values;
    size_t len;
};

/* The rows of one of the file's tables. */
CHECK_UNUSED static struct vector_rows vector_rows(yajl_val file, const char *table)
{
    yajl_val rows = vector_get(file, table);
    if (!YAJL_IS_ARRAY(rows) || YAJL_GET_ARRAY(rows)->len == 0)
        vector_die("no rows", table);
    return (struct vector_rows){YAJL_GET_ARRAY(rows)->values, YAJL_GET_ARRAY(rows)->len};
}

static struct slice vector_keep(const char *p, size_t n)
{
    char *kept = vector_memory + vector_used;
    if (n > sizeof(vector_memory) - vector_used)
        vector_die("out of memory", "vector_memory");
    memcpy(kept, p, n);
    vector_used += n;
    return slice_make(kept, n);
}

static struct slice vector_hex(const char *digits)
{
    struct slice bytes = vector_keep(digits, strlen(digits) / 2);
    char *out = vector_memory + vector_used - bytes.n;
    for (size_t i = 0; i != bytes.n; ++i)
        out[i] = (char)strtol((char[]){digits[2 * i], digits[2 * i + 1], '\0'}, NULL, 16);
    return bytes;
}

static struct slice vector_repeat(const char *text, long long times)
{
    struct slice bytes = slice_make(vector_memory + vector_used, 0);
    while (times-- > 0)
        bytes.n += vector_keep(text, strlen(text)).n;
    return bytes;
}

/* A value in any of its three forms; {NULL, 0} for NULL. */
CHECK_UNUSED static struct slice vector_value(yajl_val value)
{
    yajl_val hex = vector_get(value, "hex"), repeat = vector_get(value, "repeat"), times = vector_get(value, "times");
    if (value == NULL)
        return slice_make(NULL, 0);
    if (YAJL_IS_STRING(value))
        return slice_of(value->u.string);
    if (YAJL_IS_STRING(hex))
        return vector_hex(hex->u.string);
    if (!YAJL_IS_STRING(repeat) || !YAJL_IS_INTEGER(times))
        vector_die("not bytes", "a value");
    return vector_repeat(repeat->u.string, times->u.number.i);
}

CHECK_UNUSED static struct slice vector_bytes(yajl_val row, const char *name)
{
    return vector_value(vector_get(row, name));
}

/* Only for what is a plain string: names and faults. */
CHECK_UNUSED static const char *vector_text(yajl_val row, const char *name)
{
    yajl_val value = vector_get(row, name);
    return YAJL_IS_STRING(value) ? YAJL_GET_STRING(value) : NULL;
}

CHECK_UNUSED static long long vector_integer(yajl_val row, const char *name, long long otherwise)
{
    yajl_val value = vector_get(row, name);
    return YAJL_IS_INTEGER(value) ? YAJL_GET_INTEGER(value) : otherwise;
}

/* True when both are NULL or the same text. */
CHECK_UNUSED static bool same_fault(const char *got, const char *want)
{
    if (got != NULL && want != NULL ? strcmp(got, want) == 0 : got == want)
        return true;
    printf("#   got %s, want %s\n", got == NULL ? "no fault" : got, want == NULL ? "none" : want);
    return false;
}

/* A copy whose end is the end of its memory, so that the sanitizer sees every read beyond. To be freed. */
CHECK_UNUSED static struct slice exact_copy(struct slice s)
{
    char *p = malloc(s.n == 0 ? 1 : s.n);
    if (p == NULL)
        abort();
    if (s.n != 0)
        memcpy(p, s.p, s.n);
    return slice_make(s.n == 0 ? p + 1 : p, s.n); /* cppcheck-suppress memleak; exact_free() finds its way back from p + 1 */
}

CHECK_UNUSED static void exact_free(struct slice s)
{
    free((char *)(uintptr_t)(s.n == 0 ? s.p - 1 : s.p));
}

/* xorshift64: the same numbers in every run from the same seed, which is not 0. */
CHECK_UNUSED static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}
