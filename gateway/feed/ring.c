#include "gateway/feed/ring.h"

#include <stdlib.h>

#include "gateway/counters.h"
#include "runtime/monotonic.h"
#include "runtime/seeded_hash.h"

enum { LATELY_MS = 10000, PLACE_BYTES = sizeof(struct frame *) + sizeof(uint32_t) /* of the arrays, for one frame */ };

/* ---- what all rings take ---- */

void ring_memory_init(struct ring_memory *memory, size_t limit)
{
    *memory = (struct ring_memory){.limit = limit};
    h2o_linklist_init_anchor(&memory->longer);
    h2o_linklist_init_anchor(&memory->single);
}

static void unlink_ring(struct ring *ring)
{
    if (h2o_linklist_is_linked(&ring->link))
        h2o_linklist_unlink(&ring->link);
}

/* To the end of its list: used last. */
static void link_ring(struct ring *ring)
{
    unlink_ring(ring);
    if (ring->count != 0)
        h2o_linklist_insert(ring->count == 1 ? &ring->memory->single : &ring->memory->longer, &ring->link);
}

static void drop_oldest(struct ring *ring)
{
    struct frame *frame = ring_at(ring, 0);
    ring->first = (ring->first + 1) & (ring->capacity - 1);
    --ring->count;
    ring->bytes -= frame->body;
    ring->memory->bytes -= frame_memory(frame);
    frame_unref(frame);
    if (ring->count <= 1)
        link_ring(ring);
}

/* … though that may be the newest: what it was is remembered. */
static void let_go(struct ring *ring)
{
    const struct frame *frame = ring_at(ring, 0);
    if (ring->count == 1) {
        struct slice body = frame_body(frame);
        ring->gone.at = frame->at;
        ring->gone.prev = frame->prev;
        ring->gone.hash = seeded_hash(body.p, body.n);
    }
    drop_oldest(ring);
}

static void set_capacity(struct ring *ring, uint32_t capacity)
{
    struct frame **frames = capacity == 0 ? NULL : h2o_mem_alloc((size_t)capacity * PLACE_BYTES);
    uint32_t *ids = (uint32_t *)(frames + capacity);
    for (uint32_t i = 0; i < ring->count; ++i) {
        uint32_t from = (ring->first + i) & (ring->capacity - 1);
        frames[i] = ring->frames[from];
        ids[i] = ring->ids[from];
    }
    free(ring->frames);
    ring->frames = frames;
    ring->ids = ids;
    ring->memory->bytes += (size_t)capacity * PLACE_BYTES;
    ring->memory->bytes -= (size_t)ring->capacity * PLACE_BYTES;
    ring->capacity = capacity;
    ring->first = 0;
}

static struct ring *used_longest_ago(const struct ring_memory *memory)
{
    const h2o_linklist_t *list = h2o_linklist_is_empty((h2o_linklist_t *)&memory->longer) ? &memory->single : &memory->longer;
    return list->next == list ? NULL : H2O_STRUCT_FROM_MEMBER(struct ring, link, list->next);
}

/* Shortens rings that were used last `before_ms` or before. */
static bool make_room(struct ring_memory *memory, size_t bytes, uint64_t before_ms)
{
    uint64_t now = monotonic_ms();
    while (memory->bytes + bytes > memory->limit) {
        struct ring *ring = used_longest_ago(memory);
        if (ring == NULL || ring->used_ms > before_ms)
            return false;
        let_go(ring);
        if (ring->count <= 1)
            set_capacity(ring, ring->count);
        ring->cut_ms = now;
        metric_add(COUNT_RING_CUT, 1);
    }
    return true;
}

bool ring_memory_take(struct ring_memory *memory, size_t bytes)
{
    bool room = make_room(memory, bytes, UINT64_MAX);
    memory->bytes += bytes;
    return room;
}

void ring_memory_give(struct ring_memory *memory, size_t bytes)
{
    memory->bytes -= bytes;
}

/* ---- one ring ---- */

/* What one more would take. */
static size_t size_with(const struct ring *ring, const struct frame *frame)
{
    size_t more = ring->count < ring->capacity ? 0 : ring->capacity == 0 ? 4 : ring->capacity;
    return frame_memory(frame) + more * PLACE_BYTES;
}

/* One more, at either end: the caller writes where it belongs. */
static void add(struct ring *ring, const struct frame *frame)
{
    if (ring->count == ring->capacity)
        set_capacity(ring, ring->capacity == 0 ? 4 : ring->capacity * 2);
    ++ring->count;
    ring->bytes += frame->body;
    ring->memory->bytes += frame_memory(frame);
}

static uint32_t hash_of(struct slice id)
{
    return (uint32_t)seeded_hash(id.p, id.n);
}

static void put(struct ring *ring, uint32_t at, struct frame *frame)
{
    ring->frames[at] = frame_ref(frame);
    ring->ids[at] = hash_of(frame_id(frame));
}

void ring_use(struct ring *ring)
{
    ring->used_ms = monotonic_ms();
    if (ring->count != 0)
        link_ring(ring);
}

void ring_append(struct ring *ring, struct frame *frame, const struct ring_limits *limits)
{
    ring->memory = limits->memory;
    ring_use(ring);
    while (ring->count != 0 && (ring->count >= limits->frames || ring->bytes + frame->body > limits->bytes))
        drop_oldest(ring);
    make_room(ring->memory, size_with(ring, frame), UINT64_MAX);
    add(ring, frame);
    put(ring, (ring->first + ring->count - 1) & (ring->capacity - 1), frame);
    link_ring(ring);
}

bool ring_prepend(struct ring *ring, struct frame *frame, const struct ring_limits *limits)
{
    uint64_t now = monotonic_ms();
    ring->memory = limits->memory;
    if (ring->count >= limits->frames || ring->bytes + frame->body > limits->bytes)
        return false;
    ring_use(ring);
    if (!make_room(ring->memory, size_with(ring, frame), now < LATELY_MS ? 0 : now - LATELY_MS)) {
        ring->cut_ms = now;
        return false;
    }
    add(ring, frame);
    ring->first = (ring->first - 1) & (ring->capacity - 1);
    put(ring, ring->first, frame);
    link_ring(ring);
    return true;
}

bool ring_forget_cut(struct ring *ring)
{
    if (ring->cut_ms == 0 || monotonic_ms() - ring->cut_ms < LATELY_MS)
        return false;
    ring->cut_ms = 0;
    return true;
}

/* Of a stream that comes back with an id that nobody knows, all frames of 100 channels are looked at: their hashes stand side by side, their ids would each be waited for. */
bool ring_find(const struct ring *ring, struct slice id, struct position *at)
{
    uint32_t hash = hash_of(id);
    for (uint32_t i = 0; i < ring->count; ++i) {
        if (ring->ids[(ring->first + i) & (ring->capacity - 1)] != hash || !slice_eq(frame_id(ring_at(ring, i)), id))
            continue;
        *at = ring_at(ring, i)->at;
        return true;
    }
    return false;
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

void ring_drop_before(struct ring *ring, struct position position)
{
    while (ring->count != 0 && position_compare(ring_at(ring, 0)->at, position) < 0)
        let_go(ring);
}

static const struct frame *find_at(const struct ring *ring, struct position at)
{
    uint32_t next = ring_after(ring, at);
    const struct frame *frame = next == 0 ? NULL : ring_at(ring, next - 1);
    return frame != NULL && position_compare(frame->at, at) == 0 ? frame : NULL;
}

static bool is_gone(const struct ring *ring, struct position at)
{
    return ring->count == 0 && !position_is_none(ring->gone.at) && position_compare(ring->gone.at, at) == 0;
}

bool ring_knows(const struct ring *ring, struct position at)
{
    return is_gone(ring, at) || find_at(ring, at) != NULL;
}

bool ring_is_known(const struct ring *ring, const struct frame *frame)
{
    const struct frame *mine = find_at(ring, frame->at);
    struct slice body = frame_body(frame);
    if (mine != NULL)
        return slice_eq(body, frame_body(mine));
    return is_gone(ring, frame->at) && ring->gone.hash == seeded_hash(body.p, body.n);
}

void ring_clear(struct ring *ring)
{
    while (ring->count != 0)
        drop_oldest(ring);
    ring->gone.at = POSITION_NONE;
    if (ring->capacity != 0)
        set_capacity(ring, 0);
}
