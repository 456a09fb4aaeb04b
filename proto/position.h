/* Where an event stands in its channel's history: the id of its Redis stream entry, milliseconds and a sequence number within them.
 * https://redis.io/docs/latest/develop/data-types/streams/#entry-ids */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "runtime/slice.h"

struct position {
    uint64_t ms;
    uint64_t seq;
};

/* "0-0", before every entry: what a channel without history has as its last position. */
#define POSITION_NONE ((struct position){0, 0})

/* After every entry. */
#define POSITION_MAX ((struct position){UINT64_MAX, UINT64_MAX})

/* Bytes that position_format() needs at most, its terminating NUL included. */
enum { POSITION_TEXT_MAX = 42 };

static inline int position_compare(struct position a, struct position b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return a.seq == b.seq ? 0 : a.seq < b.seq ? -1 : 1;
}

/* The greatest one before p; POSITION_NONE for itself. A read of what follows it begins with p. */
static inline struct position position_before(struct position p)
{
    if (p.seq != 0)
        return (struct position){p.ms, p.seq - 1};
    return p.ms == 0 ? p : (struct position){p.ms - 1, UINT64_MAX};
}

/* The least one after p, which is not the last of all. */
static inline struct position position_next(struct position p)
{
    return p.seq == UINT64_MAX ? (struct position){p.ms + 1, 0} : (struct position){p.ms, p.seq + 1};
}

static inline bool position_is_none(struct position p)
{
    return p.ms == 0 && p.seq == 0;
}

/* Writes "ms-seq" and a NUL; returns the length without the NUL. */
size_t position_format(char out[POSITION_TEXT_MAX], struct position p);

/* Reads exactly "ms-seq", both decimal, no sign, no leading zero but "0" itself; false for anything else or above 64 bits. */
bool position_parse(struct position *out, struct slice text);
