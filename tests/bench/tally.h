/* What the streams have seen of channels whose events are numbered 1, 2, 3 … */
#pragma once

#include <stdio.h>

#include "tests/bench/histogram.h"

/* One stream's. Start with TRACK_START. */
struct track {
    uint64_t last; /* the highest number seen */
    uint64_t seen; /* bit n: last - n was seen, or is before 1 */
};

#define TRACK_START ((struct track){.last = 0, .seen = ~(uint64_t)0})

struct tally {
    uint64_t events, bytes; /* bytes: as read, after TLS */
    uint64_t lost; /* numbers that a later one overtook and that did not come */
    uint64_t duplicated; /* came again, or 64 and more late */
    uint64_t out_of_order; /* came for the first time, after a higher one */
    uint64_t foreign; /* events whose data was no payload */
    uint64_t start_ns, start_cpu_us; /* of the window */
    struct histogram latency;
};

/* Forgets all; the window starts now. */
void tally_mark(struct tally *tally);

void tally_event(struct tally *tally, struct track *track, uint64_t seq, uint64_t time_ns, uint64_t now_ns);

/* One line of JSON; `missing`: numbers that no later one overtook. */
void tally_report(const struct tally *tally, uint64_t missing, unsigned streams, unsigned closed, FILE *to);
