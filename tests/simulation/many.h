/* Many worlds, in processes of their own, so that one which crashes is found as well. */
#pragma once

#include "tests/simulation/world.h"

struct many_options {
    uint64_t from, to; /* seeds */
    uint64_t seconds; /* 0: until they are through */
    unsigned jobs; /* 0: one for each processor */
    const char *keep; /* a file of seeds that come first; NULL: none */
};

/* Prints the seeds that fail, and "N passed, N failed". Returns what main() does. */
int many_run(const struct many_options *options);

/* Prints the shortest plan that was found to fail still, and what happens in it. */
int shrink(uint64_t seed);
