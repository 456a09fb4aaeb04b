#include "gateway/held.h"

#include <stdlib.h>

#include "runtime/h2o.h"

void held_clear(struct held *held)
{
    for (size_t i = 0; i < held->count; ++i)
        frame_unref(held->frames[i]);
    free(held->frames);
    *held = (struct held){NULL, 0, 0, 0};
}

bool held_add(struct held *held, struct frame *frame, size_t most)
{
    bool full = held->count != 0 && held->bytes + frame->body > most;
    if (full)
        held_clear(held);
    if (held->count == held->capacity) {
        held->capacity = held->capacity == 0 ? 8 : held->capacity * 2;
        held->frames = h2o_mem_realloc(held->frames, held->capacity * sizeof(*held->frames));
    }
    held->frames[held->count++] = frame_ref(frame);
    held->bytes += frame->body;
    return full;
}
