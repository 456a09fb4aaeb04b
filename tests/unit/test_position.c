#include "proto/position.h"

#include "tests/check.h"

static const struct {
    const char *text;
    struct position p;
} good[] = {
    {"0-0", {0, 0}},
    {"1-0", {1, 0}},
    {"0-1", {0, 1}},
    {"1763725698123-16777215", {1763725698123, 16777215}},
    {"18446744073709551615-18446744073709551615", {UINT64_MAX, UINT64_MAX}},
};

static const char *const bad[] = {
    "",
    "-",
    "1",
    "1-",
    "-1",
    "1-2-3",
    "1--2",
    "01-2",
    "1-02",
    "00-0",
    "+1-2",
    "1-+2",
    "1 -2",
    "1- 2",
    " 1-2",
    "1-2 ",
    "1-2\n",
    "a-b",
    "1-x",
    "0x1-2",
    "18446744073709551616-0",
    "0-18446744073709551616",
    "99999999999999999999-0",
    "184467440737095516150-0",
    "1:2",
    "1-:",
    ":-1",
    "/-1",
    "*",
    "1-*",
    "$",
};

static void test_text(void)
{
    char text[POSITION_TEXT_MAX];
    struct position p;
    for (size_t i = 0; i != sizeof(good) / sizeof(good[0]); ++i) {
        size_t n = position_format(text, good[i].p);
        check_slice(slice_make(text, n), slice_of(good[i].text), "%s is written", good[i].text);
        check(text[n] == '\0', "%s ends in a NUL", good[i].text);
        check(position_parse(&p, slice_of(good[i].text)) && position_compare(p, good[i].p) == 0, "%s is read", good[i].text);
    }
    for (size_t i = 0; i != sizeof(bad) / sizeof(bad[0]); ++i) {
        p = (struct position){7, 7};
        check(!position_parse(&p, slice_of(bad[i])) && p.ms == 7 && p.seq == 7, "'%s' is no position and leaves *out alone",
              bad[i]);
    }
    check(!position_parse(&p, slice_make("1-2\0", 4)), "a NUL is no digit");
    check(position_parse(&p, slice_make("1-23", 3)) && p.seq == 2, "reading stops at the slice's end");
}

static void test_order(void)
{
    struct position rising[] = {{0, 0}, {0, 1}, {0, UINT64_MAX}, {1, 0}, {1, 1}, {UINT64_MAX, 0}, {UINT64_MAX, UINT64_MAX}};
    size_t n = sizeof(rising) / sizeof(rising[0]);
    for (size_t i = 0; i != n; ++i)
        for (size_t j = 0; j != n; ++j)
            check(position_compare(rising[i], rising[j]) == (i < j ? -1 : i > j), "positions %zu and %zu compare", i, j);
    check(position_is_none(POSITION_NONE) && !position_is_none((struct position){0, 1}) &&
              !position_is_none((struct position){1, 0}),
          "only 0-0 is none");
}

int main(void)
{
    test_text();
    test_order();
    return check_end();
}
