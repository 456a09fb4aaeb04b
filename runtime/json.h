/* JSON strings (RFC 8259 section 7) out of any bytes. */
#pragma once

#include "runtime/slice.h"

/* Room that json_quote() needs at most for n bytes of text. */
static inline size_t json_quoted_max(size_t n)
{
    return 6 * n + 2;
}

/* Writes text as a JSON string with its quotes, each byte that is not UTF-8 as \ufffd; returns the length. No NUL is added. */
size_t json_quote(char *out, struct slice text);
