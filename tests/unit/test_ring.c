#include "gateway/ring.h"

#include "tests/check.h"

static const struct ring_limits roomy = {.frames = 100, .bytes = 1 << 20};

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
    struct ring ring = {NULL, 0, 0, 0, 0};
    const struct ring_limits three = {.frames = 3, .bytes = 1 << 20}, bytes = {.frames = 100, .bytes = 25},
                             tiny = {.frames = 3, .bytes = 5};
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

static void test_order(void)
{
    struct ring ring = {NULL, 0, 0, 0, 0};
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
    struct ring ring = {NULL, 0, 0, 0, 0};
    struct frame *frame = event_at(1);
    ring_append(&ring, frame, &roomy);
    check(frame->refs == 2, "the ring takes a reference of its own");
    ring_clear(&ring);
    check(frame->refs == 1, "and gives it back");
    check_slice(frame_chunk(frame), SLICE("a\r\ndata: xx\n\n\r\n"), "a frame is one chunk of HTTP/1.1");
    check_slice(frame_body(frame), SLICE("data: xx\n\n"), "and holds the bare event");
    frame_unref(frame);
}

int main(void)
{
    test_limits();
    test_order();
    test_references();
    return check_end();
}
