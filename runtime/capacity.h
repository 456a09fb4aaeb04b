/* Whether a listener is about to run out of connections: a check of /readyz, so that new clients go elsewhere before they hang. */
#pragma once

#include <stddef.h>

enum { CAPACITY_PERCENT = 98 }; /* not ready from here on */

struct capacity {
    const char *setting; /* what sets the limit, for the sentence */
    const char *listener; /* "PORT" */
    size_t open; /* the metric that counts its connections */
    size_t not ; /* … those of this metric left out; 0: none */
    size_t limit;
    char sentence[160];
};

/* The admin_check.run of a struct capacity. */
const char *capacity_why(void *data);
