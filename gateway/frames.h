/* A deque of frames: an array that grows. Zeroed memory is an empty one and takes no memory of its own. Each holds one reference of its owner's kind to each frame: frame_ref() or
 * frame_enqueue(). Used by one thread. */
#pragma once

#include "gateway/frame.h"

enum { FRAMES_FIRST = 4 /* room of the first array, in frames; each next one has twice as much */ };

struct frames {
    struct frame **frames; /* from `first` on, around its end; NULL without capacity */
    uint32_t capacity, first, count; /* capacity: 0 or a power of two */
    size_t bytes; /* of the events */
};

/* Makes room for more frames. For frames_push(). */
void frames_grow(struct frames *frames);

/* index 0 is the front; index < count. Borrowed. */
static inline struct frame *frames_at(const struct frames *frames, uint32_t index)
{
    return frames->frames[(frames->first + index) & (frames->capacity - 1)];
}

/* Puts the frame at the back, with a reference of the caller's. */
static inline void frames_push(struct frames *frames, struct frame *frame)
{
    if (frames->count == frames->capacity)
        frames_grow(frames);
    frames->frames[(frames->first + frames->count++) & (frames->capacity - 1)] = frame;
    frames->bytes += frame->body;
}

/* Takes the front out, with its reference; count != 0. The array stays. */
static inline struct frame *frames_pop(struct frames *frames)
{
    struct frame *frame = frames_at(frames, 0);
    frames->first = (frames->first + 1) & (frames->capacity - 1);
    --frames->count;
    frames->bytes -= frame->body;
    return frame;
}

/* Frees the array of an empty deque. */
void frames_dispose(struct frames *frames);
