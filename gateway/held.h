/* Frames that wait until the history is read. */
#pragma once

#include "gateway/frame.h"

struct held {
    struct frame **frames; /* one reference each */
    size_t count, capacity, bytes;
};

/* Zeroed memory holds nothing. Lets all go that it held, and returns true, where there would be more than `most` bytes. */
bool held_add(struct held *held, struct frame *frame, size_t most);
void held_clear(struct held *held);
