#include "gateway/feed/ring.h"

#include "gateway/counters.h"
#include "tests/check.h"

static struct ring_memory memory;
static const struct ring_limits roomy = {.frames = 100, .bytes = 1 << 20, .memory = &memory};

/* An event of ten bytes at position ms-0. */
static struct frame *event_at(uint64_t ms)
{
    struct frame *frame = frame_of_bytes(SLICE("data: xx\n\n"));
    frame->durable = true;
    frame->at = (struct position){ms, 0};
    return frame;
}

static void append(struct ring *ring, uint64_t ms, const struct ring_limits *limits)
{
    struct frame *frame = event_at(ms);
    ring_append(ring, frame, limits);
    frame_unref(frame);
}

static bool prepend(struct ring *ring, uint64_t ms, const struct ring_limits *limits)
{
    struct frame *frame = event_at(ms);
    bool taken = ring_prepend(ring, frame, limits);
    frame_unref(frame);
    return taken;
}

static bool holds(const struct ring *ring, uint64_t first, uint64_t last)
{
    if (ring->count != last - first + 1)
        return false;
    for (uint32_t i = 0; i < ring->count; ++i)
        if (ring_at(ring, i)->at.ms != first + i)
            return false;
    return true;
}

static void test_limits(void)
{
    struct ring ring = {.count = 0};
    const struct ring_limits three = {.frames = 3, .bytes = 1 << 20, .memory = &memory},
                             bytes = {.frames = 100, .bytes = 25, .memory = &memory},
                             tiny = {.frames = 3, .bytes = 5, .memory = &memory};
    for (uint64_t ms = 1; ms <= 10; ++ms)
        append(&ring, ms, &three);
    check(holds(&ring, 8, 10) && ring.bytes == 30, "beyond the frame limit the oldest go");
    append(&ring, 11, &bytes);
    check(holds(&ring, 10, 11) && ring.bytes == 20, "beyond the byte limit the oldest go");
    append(&ring, 12, &tiny);
    check(holds(&ring, 12, 12), "the newest stays, however large");
    check(!prepend(&ring, 11, &tiny) && holds(&ring, 12, 12), "nothing goes in front when there is no room");
    ring_clear(&ring);
    check(ring.count == 0 && ring.bytes == 0 && ring.frames == NULL, "a cleared ring holds nothing");
}

static void append_with_id(struct ring *ring, uint64_t ms, struct slice id, bool in_front)
{
    struct frame *frame = frame_of_bytes(id); /* its id is all it holds */
    frame->durable = true;
    frame->at = (struct position){ms, 0};
    frame->id = 0;
    frame->id_len = (uint8_t)id.n;
    if (in_front)
        ring_prepend(ring, frame, &roomy);
    else
        ring_append(ring, frame, &roomy);
    frame_unref(frame);
}

static void test_ids(void)
{
    struct ring ring = {.count = 0};
    struct position at;
    check(!ring_find(&ring, SLICE("a"), &at), "an empty ring has no id");
    for (uint64_t ms = 51; ms <= 60; ++ms)
        append_with_id(&ring, ms, ms == 55 || ms == 58 ? SLICE("twice") : SLICE("other"), false);
    append_with_id(&ring, 50, SLICE("front"), true);
    check(ring_find(&ring, SLICE("twice"), &at) && at.ms == 55, "of two events with an id the older one is found");
    check(ring_find(&ring, SLICE("front"), &at) && at.ms == 50, "also one that was put in front");
    check(!ring_find(&ring, SLICE("twic"), &at) && !ring_find(&ring, SLICE(""), &at), "no other id is");
    ring_drop_before(&ring, (struct position){56, 0});
    for (uint64_t ms = 61; ms <= 90; ++ms)
        append_with_id(&ring, ms, SLICE("more"), false);
    check(ring_find(&ring, SLICE("twice"), &at) && at.ms == 58, "ids move with their events when the ring grows");
    check(!ring_find(&ring, SLICE("front"), &at), "and go with them");
    ring_clear(&ring);
}

static void test_order(void)
{
    struct ring ring = {.count = 0};
    check(ring_after(&ring, POSITION_NONE) == 0, "in an empty ring nothing comes after anything");
    for (uint64_t ms = 50; ms <= 60; ++ms)
        append(&ring, ms, &roomy);
    for (uint64_t ms = 49; ms >= 31; --ms)
        prepend(&ring, ms, &roomy);
    check(holds(&ring, 31, 60), "what is put in front and behind stands in order, over several growths");
    check(ring_after(&ring, (struct position){30, 9}) == 0, "everything comes after what is older than the ring");
    check(ring_after(&ring, (struct position){31, 0}) == 1, "the position itself is not after itself");
    check(ring_after(&ring, (struct position){45, 1}) == 15, "a position between two events finds the later one");
    check(ring_after(&ring, (struct position){60, 0}) == ring.count, "nothing comes after the newest");
    ring_clear(&ring);
}

static void test_references(void)
{
    struct ring ring = {.count = 0};
    struct frame *frame = event_at(1);
    ring_append(&ring, frame, &roomy);
    check(frame->refs == 2, "the ring takes a reference of its own");
    ring_clear(&ring);
    check(frame->refs == 1, "and gives it back");
    check_slice(frame_chunk(frame), SLICE("a\r\ndata: xx\n\n\r\n"), "a frame is one chunk of HTTP/1.1");
    check_slice(frame_body(frame), SLICE("data: xx\n\n"), "and holds the bare event");
    frame_unref(frame);
}

/* What the frames and the arrays of these rings take: what `memory` should say. */
static size_t bytes_of(const struct ring *rings, size_t count)
{
    size_t bytes = 0;
    for (size_t r = 0; r < count; ++r) {
        bytes += rings[r].capacity * (sizeof(struct frame *) + sizeof(uint32_t));
        for (uint32_t i = 0; i < rings[r].count; ++i)
            bytes += frame_memory(ring_at(&rings[r], i));
    }
    return bytes;
}

static void test_memory(void)
{
    enum { RINGS = 50 };
    struct ring_memory small;
    static struct ring rings[RINGS];
    struct frame *one = event_at(1);
    size_t size = frame_memory(one), limit = RINGS * (size + 4 * (sizeof(struct frame *) + sizeof(uint32_t))) + 40 * size, most = 0;
    bool exact = true, newest = true;
    ring_memory_init(&small, limit);
    const struct ring_limits limits = {.frames = 100, .bytes = 1 << 20, .memory = &small};
    for (uint64_t ms = 1; ms <= 60; ++ms) {
        for (size_t r = 0; r < RINGS; ++r) {
            append(&rings[r], ms, &limits);
            exact = exact && small.bytes == bytes_of(rings, RINGS);
            newest = newest && ring_at(&rings[r], rings[r].count - 1)->at.ms == ms;
            most = small.bytes > most ? small.bytes : most;
        }
    }
    check(exact, "what all rings take is counted exactly");
    check(newest, "the newest event of the ring in use stays");
    check(most <= limit, "and is bounded (%zu of %zu bytes)", most, limit);
    for (size_t r = 0; r < RINGS; ++r)
        ring_clear(&rings[r]);
    check(small.bytes == 0, "what is let go is given back");

    struct ring old = {.count = 0}, young = {.count = 0};
    small.limit = 44 * size;
    for (uint64_t ms = 1; ms <= 20; ++ms)
        append(&old, ms, &limits);
    for (uint64_t ms = 11; ms <= 40; ++ms)
        append(&young, ms, &limits);
    check(young.count == 30 && old.count < 10 && old.count > 0 && ring_at(&old, old.count - 1)->at.ms == 20,
          "the ring used longest ago is shortened, its oldest events first (%u are left)", old.count);
    uint32_t left = old.count;
    small.limit = small.bytes;
    check(!prepend(&young, 10, &limits) && old.count == left, "but one that was used lately makes no room for what is older");
    check(!ring_forget_cut(&old), "and is not read again at once");
    old.used_ms = old.cut_ms = 1;
    check(prepend(&young, 10, &limits) && old.count < left, "later it does");
    old.cut_ms = 1;
    check(ring_forget_cut(&old) && !ring_forget_cut(&old), "and is read again, once");
    ring_use(&old);
    uint32_t had = young.count;
    for (uint64_t ms = 21; ms <= 40; ++ms)
        append(&old, ms, &limits);
    check(young.count < had, "a ring that is used again is no longer the first to go");
    check(!ring_memory_take(&small, small.limit + 1) && old.count == 0 && young.count == 0, "other events push all rings out");
    ring_memory_give(&small, small.limit + 1);
    check(small.bytes == 0, "nothing is left");
    frame_unref(one);
}

static void test_drop(void)
{
    struct ring ring = {.count = 0};
    for (uint64_t ms = 1; ms <= 10; ++ms)
        append(&ring, ms, &roomy);
    ring_drop_before(&ring, (struct position){1, 0});
    check(holds(&ring, 1, 10), "nothing is before the first");
    ring_drop_before(&ring, (struct position){4, 1});
    check(holds(&ring, 5, 10), "what is before a position goes");
    ring_drop_before(&ring, (struct position){11, 0});
    check(ring.count == 0, "all of it, if need be");
    ring_clear(&ring);
}

static void test_known(void)
{
    struct ring ring = {.count = 0};
    struct frame *same = event_at(2), *older = event_at(1), *other = frame_of_bytes(SLICE("data: yy\n\n"));
    other->at = same->at;
    check(!ring_knows(&ring, POSITION_NONE) && !ring_knows(&ring, same->at), "an empty ring knows no event");
    append(&ring, 1, &roomy);
    append(&ring, 2, &roomy);
    for (int i = 0; i < 2; ++i) {
        check(ring_knows(&ring, same->at) && ring_is_known(&ring, same), "%s",
              i == 0 ? "it knows those that it has" : "… and the newest one that it had");
        check(!ring_is_known(&ring, other), "… which another one of the position is not");
        check(ring_knows(&ring, older->at) == (i == 0), "… %s the older ones", i == 0 ? "also" : "but not");
        ring_drop_before(&ring, (struct position){3, 0});
    }
    append(&ring, 3, &roomy);
    check(!ring_knows(&ring, same->at), "… until the next one");
    ring_drop_before(&ring, (struct position){4, 0});
    ring_clear(&ring);
    check(!ring_knows(&ring, (struct position){3, 0}), "one that was cleared knows none");
    frame_unref(same);
    frame_unref(older);
    frame_unref(other);
}

int main(void)
{
    counters_init();
    metrics_thread();
    ring_memory_init(&memory, SIZE_MAX);
    test_memory();
    test_drop();
    test_known();
    test_limits();
    test_order();
    test_ids();
    test_references();
    return check_end();
}
