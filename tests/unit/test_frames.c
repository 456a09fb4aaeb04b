/* The deque of frames: what goes in comes out in its order, whatever its array does meanwhile. */
#include "gateway/frames.h"

#include "tests/check.h"

enum { FRAMES = 1000 };

static struct frame *made[FRAMES]; /* frame i has i % 7 + 1 bytes */

static void make_frames(void)
{
    for (uint32_t i = 0; i < FRAMES; ++i)
        made[i] = frame_of_bytes(slice_make("abcdefg", i % 7 + 1));
}

static size_t bytes_of(uint32_t from, uint32_t to)
{
    size_t bytes = 0;
    for (uint32_t i = from; i < to; ++i)
        bytes += made[i]->body;
    return bytes;
}

/* Puts `in` frames in and takes `out` out, in turn, until all have passed. */
static void test_order(void)
{
    static const struct {
        const char *name;
        uint32_t in, out, capacity; /* at the end */
    } rows[] = {
        {"one by one", 1, 1, 4},          {"as many as there is room at first", 4, 4, 4},
        {"one more than that", 5, 5, 8},  {"around the end of an array that stays", 3, 3, 4},
        {"more in than out", 3, 1, 1024}, {"all at once", FRAMES, FRAMES, 1024},
    };
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); ++row) {
        struct frames frames = {.frames = NULL};
        uint32_t in = 0, out = 0, wrong = 0;
        while (out < FRAMES) {
            for (uint32_t i = 0; i < rows[row].in && in < FRAMES; ++i)
                frames_push(&frames, made[in++]);
            wrong += frames.count != in - out || frames.bytes != bytes_of(out, in);
            for (uint32_t i = out; i < in; ++i)
                wrong += frames_at(&frames, i - out) != made[i];
            for (uint32_t i = 0; i < rows[row].out && out < in; ++i)
                wrong += frames_pop(&frames) != made[out++];
        }
        check(wrong == 0, "%s: in order, and so many bytes", rows[row].name);
        check(frames.count == 0 && frames.bytes == 0 && frames.capacity == rows[row].capacity, "%s: room for %u, in the end %u",
              rows[row].name, frames.capacity, rows[row].capacity);
        frames_dispose(&frames);
        check(frames.frames == NULL && frames.capacity == 0, "%s: takes nothing afterwards", rows[row].name);
    }
}

int main(void)
{
    make_frames();
    test_order();
    for (uint32_t i = 0; i < FRAMES; ++i)
        frame_unref(made[i]);
    return check_end();
}
