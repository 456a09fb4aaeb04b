#include "runtime/h2o/target.h"

#include <ctype.h>

bool target_is_path(struct slice text)
{
    for (size_t i = 0; i < text.n; ++i)
        if ((unsigned char)text.p[i] <= ' ' || text.p[i] == 0x7f)
            return false;
    return text.n != 0;
}

bool target_is_authority(struct slice text)
{
    static const char others[] = ".-_:[]~%!$&'()*+,;=";
    for (size_t i = 0; i < text.n; ++i)
        if (!isalnum((unsigned char)text.p[i]) && memchr(others, text.p[i], sizeof(others) - 1) == NULL)
            return false;
    return text.n != 0;
}

static struct slice without(struct slice authority, struct slice port)
{
    if (authority.n > port.n && slice_eq(slice_from(authority, authority.n - port.n), port))
        authority.n -= port.n;
    return authority;
}

bool target_is_same_authority(struct slice a, struct slice b, struct slice port)
{
    a = without(a, port);
    b = without(b, port);
    return slice_eq_nocase(a, b);
}
