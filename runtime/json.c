#include "runtime/json.h"

#include "runtime/utf8.h"

static char *put_unicode(char *out, unsigned code)
{
    static const char digits[] = "0123456789abcdef";
    *out++ = '\\';
    *out++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4)
        *out++ = digits[code >> shift & 0xf];
    return out;
}

size_t json_quote(char *out, struct slice text)
{
    char *p = out;
    *p++ = '"';
    while (text.n != 0) {
        size_t n = utf8_length(text.p, text.n);
        unsigned char first = (unsigned char)text.p[0];
        if (n == 0) {
            p = put_unicode(p, 0xfffd);
            n = 1;
        } else if (first < 0x20 || first == 0x7f) {
            p = put_unicode(p, first);
        } else {
            if (first == '"' || first == '\\')
                *p++ = '\\';
            memcpy(p, text.p, n);
            p += n;
        }
        text = slice_from(text, n);
    }
    *p++ = '"';
    return (size_t)(p - out);
}
