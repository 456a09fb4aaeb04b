#include "proto/position.h"

#include "runtime/digits.h"

size_t position_format(char out[POSITION_TEXT_MAX], struct position p)
{
    size_t n = digits_put(out, p.ms);
    out[n++] = '-';
    n += digits_put(out + n, p.seq);
    out[n] = '\0';
    return n;
}

static bool parse_decimal(uint64_t *out, struct slice text)
{
    return !(text.n > 1 && text.p[0] == '0') && digits_decimal(out, text, UINT64_MAX);
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
