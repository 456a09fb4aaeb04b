/* What an attacking connection sends, over and over. */
#pragma once

#include <stdbool.h>

#include "tests/hardening/wire.h"

struct kind {
    const char *name;
    void (*begin)(struct wire *wire); /* once, after wire_open(); may be NULL */
    void (*more)(struct wire *wire); /* one unit, at most 32 KiB; NULL: nothing more */
    bool deaf; /* reads nothing */
};

const struct kind *kind_find(const char *name); /* NULL when there is none */
