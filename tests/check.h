/* Facts as TAP lines (https://testanything.org): check() states one, check_end() prints the plan and is main's return value.
 * A fact is a sentence; in a table test its text names the row. A failed one adds where it stands and what was compared. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "runtime/slice.h"

#define CHECK_UNUSED __attribute__((unused))

static int check_count;
static int check_failed;

/* check(condition, format, ...): the fact is true when the condition is. Gives the condition back. */
#define check(cond, ...) check_fact((cond), __FILE__, __LINE__, #cond, __VA_ARGS__)

/* check_slice(got, want, format, ...): the two hold the same bytes; where they don't, both are printed. */
#define check_slice(got, want, ...) check_same((got), (want), __FILE__, __LINE__, __VA_ARGS__)

CHECK_UNUSED static void check_line(bool ok, const char *fmt, va_list args)
{
    check_failed += !ok;
    printf("%sok %d - ", ok ? "" : "not ", ++check_count);
    vprintf(fmt, args);
    putchar('\n');
}

/* One comment line: the bytes up to 2000, those that don't print as \xNN. A NULL slice and an empty one look different. */
CHECK_UNUSED static void check_show(const char *what, struct slice s)
{
    printf("#   %s %zu bytes: %s", what, s.n, s.p == NULL ? "NULL" : "");
    for (size_t i = 0; i != s.n && i != 2000; ++i)
        printf(s.p[i] >= 0x20 && s.p[i] < 0x7f && s.p[i] != '\\' ? "%c" : "\\x%02x", (unsigned char)s.p[i]);
    putchar('\n');
}

__attribute__((format(printf, 5, 6))) CHECK_UNUSED static bool check_fact(bool ok, const char *file, int line, const char *cond,
                                                                          const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    check_line(ok, fmt, args);
    va_end(args);
    if (!ok)
        printf("#   %s:%d: %s\n", file, line, cond);
    return ok;
}

__attribute__((format(printf, 5, 6))) CHECK_UNUSED static bool check_same(struct slice got, struct slice want, const char *file,
                                                                          int line, const char *fmt, ...)
{
    va_list args;
    bool ok = slice_eq(got, want);
    va_start(args, fmt);
    check_line(ok, fmt, args);
    va_end(args);
    if (!ok) {
        printf("#   %s:%d\n", file, line);
        check_show("got ", got);
        check_show("want", want);
    }
    return ok;
}

/* A test that checked nothing has failed, too. */
CHECK_UNUSED static int check_end(void)
{
    printf("1..%d\n", check_count);
    if (check_failed != 0)
        printf("# %d of %d failed\n", check_failed, check_count);
    return check_failed != 0 || check_count == 0;
}
