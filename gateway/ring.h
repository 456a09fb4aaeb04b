/* The newest events of one channel, oldest first, without a hole between them: the part of its history that is answered from memory.
 * Owned by the bus thread. */
#pragma once

#include "gateway/frame.h"

struct ring {
    struct frame **frames; /* capacity is a power of two */
    uint32_t capacity, first, count;
    size_t bytes;
};

/* What the rings of a process may hold, each. */
struct ring_limits {
    uint32_t frames;
    size_t bytes;
};

/* Takes a reference of its own. Oldest frames beyond the limits are let go; the newest always stays. */
void ring_append(struct ring *ring, struct frame *frame, const struct ring_limits *limits);

/* Puts an older frame in front. False, and nothing taken, when the limits leave no room. */
bool ring_prepend(struct ring *ring, struct frame *frame, const struct ring_limits *limits);

/* index 0 is the oldest; index < ring->count. Borrowed. */
static inline struct frame *ring_at(const struct ring *ring, uint32_t index)
{
    return ring->frames[(ring->first + index) & (ring->capacity - 1)];
}

/* Index of the first frame after `position`, ring->count when there is none. */
uint32_t ring_after(const struct ring *ring, struct position position);

/* Lets all frames go and frees the memory. */
void ring_clear(struct ring *ring);
