/* runtime/digits: what is a number, and what is none. */
#include "runtime/digits.h"

#include "tests/check.h"

static void test_decimal(void)
{
    static const struct {
        const char *text;
        uint64_t max;
        bool good;
        uint64_t value;
    } rows[] = {
        {"0", 0, true, 0},
        {"7", 9, true, 7},
        {"007", 9, true, 7},
        {"9", 9, true, 9},
        {"10", 9, false, 0},
        {"1", 0, false, 0},
        {"65535", 65535, true, 65535},
        {"65536", 65535, false, 0},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"99999999999999999999", UINT64_MAX, false, 0},
        {"", 9, false, 0},
        {"-1", 9, false, 0},
        {"+1", 9, false, 0},
        {" 1", 9, false, 0},
        {"1 ", 9, false, 0},
        {"1a", 9, false, 0},
        {"/", 99, false, 0},
        {":", 99, false, 0},
        {"\xb1", 9, false, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        uint64_t value = 12345;
        bool good = digits_decimal(&value, slice_of(rows[i].text), rows[i].max);
        check(good == rows[i].good && value == (good ? rows[i].value : 12345), "'%s', at most %llu", rows[i].text,
              (unsigned long long)rows[i].max);
    }
}

static void test_put(void)
{
    static const struct {
        uint64_t value;
        const char *text;
    } rows[] = {{0, "0"},
                {9, "9"},
                {10, "10"},
                {99, "99"},
                {100, "100"},
                {20260, "20260"},
                {4294967296, "4294967296"},
                {9999999999999999999u, "9999999999999999999"},
                {10000000000000000000u, "10000000000000000000"},
                {UINT64_MAX, "18446744073709551615"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        char out[21];
        memset(out, '#', sizeof(out));
        size_t n = digits_put(out, rows[i].value);
        check_slice(slice_make(out, n), slice_of(rows[i].text), "%s is written", rows[i].text);
        check(out[n] == '#', "nothing is written behind %s", rows[i].text);
    }
}

static void test_hex(void)
{
    static const char digits[] = "0123456789abcdef", large[] = "0123456789ABCDEF", others[] = "/:@G`g \x01\xff%";
    for (int i = 0; i < 16; ++i)
        check(digits_hex(digits[i]) == i && digits_hex(large[i]) == i, "%c and %c are %d", digits[i], large[i], i);
    for (size_t i = 0; i < sizeof(others); ++i)
        check(digits_hex(others[i]) == -1, "byte %d is no digit", (unsigned char)others[i]);
}

int main(void)
{
    test_decimal();
    test_put();
    test_hex();
    return check_end();
}
