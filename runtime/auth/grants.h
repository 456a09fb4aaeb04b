/* Patterns of channel names: what a token grants and what a policy opens. Pure. */
#pragma once

#include "runtime/slice.h"

enum { PATTERN_MAX = 200 /* bytes */, GRANTS_MAX = 100 };

struct grants {
    size_t count;
    const struct slice *patterns; /* borrowed; GRANTS_MAX at most */
};

/* Whether the pattern names this channel: byte for byte, but each '*' stands for any run of bytes, the empty one and '/' included.
 * Takes time in proportion to the two lengths, whatever the pattern. */
bool pattern_matches(struct slice pattern, struct slice channel);

/* Whether one of them does. */
bool grants_allow(const struct grants *grants, struct slice channel);
