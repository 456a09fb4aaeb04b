/* What one stream has seen of one channel whose events are numbered 1, 2, 3 … */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct track {
    uint32_t last; /* the highest number seen */
    uint64_t seen; /* bit n: last - n was seen */
    bool gap; /* the stream was told that what comes next may be missing */
};

struct tally {
    uint64_t events;
    uint64_t lost; /* numbers that never came, though nobody said so */
    uint64_t duplicated; /* came a second time */
    uint64_t twins; /* … where the last event id can't decide: several channels, the very millisecond it names */
    uint64_t retold; /* … right behind a `gap` event: the first one is of a history that is gone */
    uint64_t out_of_order; /* came after a higher one */
    uint64_t gaps; /* `gap` events */
    uint64_t told; /* numbers missing behind one */
    uint64_t needless_gaps; /* … behind which nothing was missing */
    uint64_t malformed; /* events that were not as published */
};

/* The event with this number; `undecided`: it may rightly be a twin. */
void track_event(struct track *track, struct tally *tally, uint32_t number, bool undecided);
void track_gap(struct track *track, struct tally *tally);
