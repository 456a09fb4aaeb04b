#include "gateway/frames.h"

#include <assert.h>
#include <stdlib.h>

#include "runtime/h2o.h"

void frames_grow(struct frames *frames)
{
    uint32_t capacity = frames->capacity == 0 ? FRAMES_FIRST : frames->capacity * 2;
    struct frame **array = h2o_mem_alloc(capacity * sizeof(*array));
    for (uint32_t i = 0; i < frames->count; ++i)
        array[i] = frames_at(frames, i);
    free(frames->frames);
    frames->frames = array;
    frames->capacity = capacity;
    frames->first = 0;
}

void frames_dispose(struct frames *frames)
{
    assert(frames->count == 0);
    free(frames->frames);
    *frames = (struct frames){.frames = NULL};
}
