/* The newest events of one channel, oldest first, without a hole between them: the part of its history that is answered from memory.
 * All rings of a process share a bound: beyond it, those used longest ago are shortened. Owned by the bus thread. */
#pragma once

#include "gateway/frame.h"
#include "runtime/h2o.h"

/* What the events that the bus thread keeps may take together: rings, and what else is counted here. */
struct ring_memory {
    size_t limit, bytes;
    h2o_linklist_t longer; /* rings of several events, used longest ago first */
    h2o_linklist_t single; /* rings of one */
};

void ring_memory_init(struct ring_memory *memory, size_t limit);

/* Counts bytes of events outside of rings, which are shortened for them. False: that did not make enough room; the bytes are counted all the same. */
bool ring_memory_take(struct ring_memory *memory, size_t bytes);
void ring_memory_give(struct ring_memory *memory, size_t bytes);

/* Zeroed memory is an empty ring. It is no struct frames: the hashes lie in the same block, it grows at both ends and shrinks, and its room counts in ring_memory. */
struct ring {
    struct frame **frames; /* capacity is a power of two */
    uint32_t *ids; /* hashes of their ids, in the same order */
    uint32_t capacity, first, count;
    size_t bytes; /* of the events */
    struct ring_memory *memory; /* once it holds something */
    h2o_linklist_t link; /* in one of its lists, by count */
    uint64_t used_ms;
    uint64_t cut_ms; /* when it was last shorter than its own limits allow; 0: never since ring_forget_cut() */
    struct {
        struct position at, prev;
        uint64_t hash; /* of its bytes */
    } gone; /* the newest event, which was let go with the others; `at` POSITION_NONE: it was not */
};

/* What the rings of a process may hold, each; and together. */
struct ring_limits {
    uint32_t frames;
    size_t bytes;
    struct ring_memory *memory;
};

/* Takes a reference of its own. Oldest frames beyond the limits are let go; the newest always stays. */
void ring_append(struct ring *ring, struct frame *frame, const struct ring_limits *limits);

/* Puts an older frame in front. False, and nothing taken, when the limits leave no room; rings that were used lately don't make room for it. */
bool ring_prepend(struct ring *ring, struct frame *frame, const struct ring_limits *limits);

/* It is used now: others are shortened before it. */
void ring_use(struct ring *ring);

/* True once the ring has been shorter than its own limits for a while, because of the others: its events may be read again. */
bool ring_forget_cut(struct ring *ring);

/* index 0 is the oldest; index < ring->count. Borrowed. */
static inline struct frame *ring_at(const struct ring *ring, uint32_t index)
{
    return ring->frames[(ring->first + index) & (ring->capacity - 1)];
}

/* True and its position in *at: the oldest frame with this id. */
bool ring_find(const struct ring *ring, struct slice id, struct position *at);

/* Index of the first frame after `position`, ring->count when there is none. */
uint32_t ring_after(const struct ring *ring, struct position position);

/* Lets the frames before `position` go. */
void ring_drop_before(struct ring *ring, struct position position);

/* Whether it knows the event at this position: it has it, or let it go as the newest one. */
bool ring_knows(const struct ring *ring, struct position at);

/* … and whether the frame is that event, to the byte: another history can have another one there. */
bool ring_is_known(const struct ring *ring, const struct frame *frame);

/* Lets all frames go, forgets what they were and frees the memory. */
void ring_clear(struct ring *ring);
