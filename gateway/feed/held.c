#include "gateway/feed/held.h"

#include <stdlib.h>

struct held held_take(struct held *held, struct ring_memory *memory)
{
    struct held taken = *held;
    ring_memory_give(memory, held->taken);
    *held = (struct held){.frames = NULL};
    return taken;
}

void held_clear(struct held *held, struct ring_memory *memory)
{
    struct held taken = held_take(held, memory);
    for (size_t i = 0; i < taken.count; ++i)
        frame_unref(taken.frames[i]);
    free(taken.frames);
}

bool held_add(struct held *held, struct frame *frame, const struct ring_limits *limits)
{
    size_t size = frame_memory(frame) + sizeof(frame);
    bool room = ring_memory_take(limits->memory, size);
    bool full = held->count != 0 && (!room || held->bytes + frame->body > limits->bytes);
    if (full)
        held_clear(held, limits->memory);
    if (held->count == held->capacity) {
        held->capacity = held->capacity == 0 ? 8 : held->capacity * 2;
        held->frames = h2o_mem_realloc(held->frames, held->capacity * sizeof(*held->frames));
    }
    held->frames[held->count++] = frame_ref(frame);
    held->bytes += frame->body;
    held->taken += size;
    return full;
}
