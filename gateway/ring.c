#include "gateway/ring.h"

#include <stdlib.h>

#include "runtime/h2o.h"

static void grow(struct ring *ring)
{
    uint32_t capacity = ring->capacity == 0 ? 4 : ring->capacity * 2;
    struct frame **frames = h2o_mem_alloc(capacity * sizeof(*frames));
    for (uint32_t i = 0; i < ring->count; ++i)
        frames[i] = ring_at(ring, i);
    free(ring->frames);
    ring->frames = frames;
    ring->capacity = capacity;
    ring->first = 0;
}

static void drop_oldest(struct ring *ring)
{
    struct frame *frame = ring_at(ring, 0);
    ring->first = (ring->first + 1) & (ring->capacity - 1);
    --ring->count;
    ring->bytes -= frame->body;
    frame_unref(frame);
}

void ring_append(struct ring *ring, struct frame *frame, const struct ring_limits *limits)
{
    while (ring->count != 0 && (ring->count >= limits->frames || ring->bytes + frame->body > limits->bytes))
        drop_oldest(ring);
    if (ring->count == ring->capacity)
        grow(ring);
    ring->frames[(ring->first + ring->count++) & (ring->capacity - 1)] = frame_ref(frame);
    ring->bytes += frame->body;
}

bool ring_prepend(struct ring *ring, struct frame *frame, const struct ring_limits *limits)
{
    if (ring->count >= limits->frames || ring->bytes + frame->body > limits->bytes)
        return false;
    if (ring->count == ring->capacity)
        grow(ring);
    ring->first = (ring->first - 1) & (ring->capacity - 1);
    ring->frames[ring->first] = frame_ref(frame);
    ++ring->count;
    ring->bytes += frame->body;
    return true;
}

uint32_t ring_after(const struct ring *ring, struct position position)
{
    uint32_t low = 0, high = ring->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (position_compare(ring_at(ring, middle)->at, position) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void ring_clear(struct ring *ring)
{
    while (ring->count != 0)
        drop_oldest(ring);
    free(ring->frames);
    *ring = (struct ring){NULL, 0, 0, 0, 0};
}
