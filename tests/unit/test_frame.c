#include "gateway/frame.h"

#include "tests/check.h"

static const struct {
    const char *fact, *event, *bare;
} rows[] = {
    {"the id line goes", "event: message\ndata: a\nid: 1\nretry: 6000\n\n", "event: message\ndata: a\nretry: 6000\n\n"},
    {"the empty one, too, which would reset the client's", "data: a\nid:\n\n", "data: a\n\n"},
    {"an event without id stays", "data: a\nretry: 1\n\n", "data: a\nretry: 1\n\n"},
    {"what only looks like one in the data stays", "data: id: 1\ndata: \n\n", "data: id: 1\ndata: \n\n"},
};

int main(void)
{
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        struct frame *frame = frame_of_bytes(slice_of(rows[i].event)), *bare = frame_without_id(frame);
        check_slice(frame_body(bare), slice_of(rows[i].bare), "without id: %s", rows[i].fact);
        frame_unref(bare);
        frame_unref(frame);
    }
    return check_end();
}
