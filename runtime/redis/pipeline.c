#include "runtime/redis/pipeline.h"

#include <assert.h>
#include <stdlib.h>

#include "runtime/h2o.h"

enum { SMALL = 64, KEEP_MAX = 4096 };

static struct pipeline_item *item_at(struct pipeline *pipeline, size_t i)
{
    return &pipeline->items[(pipeline->first + i) & (pipeline->capacity - 1)];
}

static void grow(struct pipeline *pipeline)
{
    struct pipeline larger = {.capacity = pipeline->capacity == 0 ? SMALL : pipeline->capacity * 2, .count = pipeline->count};
    larger.items = h2o_mem_alloc(larger.capacity * sizeof(*larger.items));
    for (size_t i = 0; i < pipeline->count; ++i)
        larger.items[i] = *item_at(pipeline, i);
    free(pipeline->items);
    *pipeline = larger;
}

void pipeline_add(struct pipeline *pipeline, const struct pipeline_item *item)
{
    if (pipeline->count == pipeline->capacity)
        grow(pipeline);
    *item_at(pipeline, pipeline->count++) = *item;
}

struct pipeline_item *pipeline_oldest(struct pipeline *pipeline)
{
    return pipeline->count == 0 ? NULL : item_at(pipeline, 0);
}

struct pipeline_item pipeline_take(struct pipeline *pipeline)
{
    assert(pipeline->count != 0);
    struct pipeline_item item = *item_at(pipeline, 0);
    pipeline->first = (pipeline->first + 1) & (pipeline->capacity - 1);
    if (--pipeline->count == 0 && pipeline->capacity > KEEP_MAX)
        pipeline_dispose(pipeline);
    return item;
}

void pipeline_dispose(struct pipeline *pipeline)
{
    free(pipeline->items);
    *pipeline = (struct pipeline){0};
}
