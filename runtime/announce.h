/* What a process announces about itself: a small JSON object every few seconds, which its owner sends (proto/README.md, "Nodes"). Costs a
 * sum over the counters each time, and nothing in between. One loop's thread. */
#pragma once

#include "runtime/admin.h"
#include "runtime/slice.h"
#include "runtime/timer.h"

/* Longer ones are not announcements. */
enum { ANNOUNCE_MAX = 4096 };

/* STATUS_MS, when it is not 0. */
enum { ANNOUNCE_INTERVAL_MIN_MS = 100, ANNOUNCE_INTERVAL_MAX_MS = 60000 };

/* The sum of `rows` rows of runtime/metrics.h from `counter` on; 0: of that one. */
struct announce_row {
    const char *name;
    size_t counter, rows;
};

struct announce_options {
    h2o_loop_t *loop;
    const char *node; /* the name of this process */
    const char *role; /* "gateway" */
    uint64_t interval_ms; /* 0: announce_start() does nothing */
    const struct announce_row *rows; /* told always */
    size_t row_count;
    const char *group; /* name of the object that holds: */
    const struct announce_row *grouped; /* told unless they are 0 */
    size_t grouped_count;
    const struct admin_check *checks; /* the first that fails is told */
    size_t check_count;
    void (*send)(void *data, struct slice json); /* the text dies after the call and is at most ANNOUNCE_MAX bytes */
    void *data;
};

struct announce {
    struct announce_options options;
    char id[17]; /* random: one for each run of a process */
    uint64_t seq; /* of the announcement that was sent last */
    uint64_t started_ms;
    struct timer timer;
};

/* The first one goes out at once. What the options point to is borrowed. */
void announce_start(struct announce *announce, const struct announce_options *options);
