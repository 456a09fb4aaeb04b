/* UTF-8 (RFC 3629), for what escapes text on its way out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Length of the well-formed sequence that begins at p[0], 1 to 4; 0 when there is none within n bytes. */
static inline size_t utf8_length(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    if (n != 0 && p[0] < 0x80)
        return 1;
    if (n < 2 || p[0] < 0xc2 || p[0] > 0xf4 || (p[1] & 0xc0) != 0x80)
        return 0;
    if (p[0] < 0xe0)
        return 2;
    /* No overlong form, no surrogate, nothing above U+10FFFF. */
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    if (n < 3 || (p[2] & 0xc0) != 0x80)
        return 0;
    if (p[0] < 0xf0)
        return 3;
    return n >= 4 && (p[3] & 0xc0) == 0x80 ? 4 : 0;
}

/* Whether this sequence of n bytes, by utf8_length(), is a control character. U+0080 to U+009F are some too: a terminal takes U+009B for
 * the start of an escape sequence. */
static inline bool utf8_is_control(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    return (n == 1 && (p[0] < 0x20 || p[0] == 0x7f)) || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}
