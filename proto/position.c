#include "proto/position.h"

#include <inttypes.h>
#include <stdio.h>

size_t position_format(char out[POSITION_TEXT_MAX], struct position p)
{
    return (size_t)snprintf(out, POSITION_TEXT_MAX, "%" PRIu64 "-%" PRIu64, p.ms, p.seq);
}

static bool parse_decimal(uint64_t *out, struct slice text)
{
    uint64_t value = 0;
    if (text.n == 0 || (text.n != 1 && text.p[0] == '0'))
        return false;
    for (size_t i = 0; i != text.n; ++i) {
        unsigned digit = (unsigned)((unsigned char)text.p[i] - '0');
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

bool position_parse(struct position *out, struct slice text)
{
    struct position p;
    struct slice ms = slice_split(&text, '-');
    if (text.p == NULL || !parse_decimal(&p.ms, ms) || !parse_decimal(&p.seq, text))
        return false;
    *out = p;
    return true;
}
