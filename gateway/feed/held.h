/* Frames that wait until the history is read. */
#pragma once

#include "gateway/feed/ring.h"

struct held {
    struct frame **frames; /* one reference each */
    size_t count, capacity, bytes;
    size_t taken; /* of the memory of rings */
};

/* Zeroed memory holds nothing. Lets all go that it held, and returns true, where there would be more than the limits of a ring allow. */
bool held_add(struct held *held, struct frame *frame, const struct ring_limits *limits);

/* Hands the frames over to the caller, who gives back their references and the array. */
struct held held_take(struct held *held, struct ring_memory *memory);
void held_clear(struct held *held, struct ring_memory *memory);
