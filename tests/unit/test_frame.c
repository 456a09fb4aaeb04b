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

static const struct {
    const char *fact, *event, *settled, *unsettled; /* NULL: as it is */
} shared_rows[] = {
    {"a usual retry stays", "data: a\nid: 1\nretry: 6000\n\n", NULL, "data: a\nretry: 6000\n\n"},
    {"the longest stays", "data: a\nid: 1\nretry: 60000\n\n", NULL, "data: a\nretry: 60000\n\n"},
    {"a longer one becomes it", "data: a\nid: 1\nretry: 60001\n\n", "data: a\nid: 1\nretry: 60000\n\n",
     "data: a\nretry: 60000\n\n"},
    {"a day becomes it", "event: x\ndata: a\nid: 1\nretry: 86400000\n\n", "event: x\ndata: a\nid: 1\nretry: 60000\n\n",
     "event: x\ndata: a\nretry: 60000\n\n"},
    {"a retry alone", "retry: 4294967295\n\n", "retry: 60000\n\n", "retry: 60000\n\n"},
    {"none stays none", "data: a\nid: 1\n\n", NULL, "data: a\n\n"},
    {"what only looks like one stays", "data: retry: 86400000\n\n", NULL, "data: retry: 86400000\n\n"},
    {"also at the end of a long line", "data: xxxxxxxxxxxxxxxretry: 42949672950\n\n", NULL,
     "data: xxxxxxxxxxxxxxxretry: 42949672950\n\n"},
    {"nothing stays nothing", "", NULL, ""},
};

static void test_shared(void)
{
    for (size_t i = 0; i != sizeof(shared_rows) / sizeof(shared_rows[0]); ++i) {
        struct frame *frame = frame_of_bytes(slice_of(shared_rows[i].event)), *settled = frame_for_shared(frame, true),
                     *bare = frame_for_shared(frame, false);
        const char *want = shared_rows[i].settled;
        check((settled == NULL) == (want == NULL), "in a stream of several channels: %s", shared_rows[i].fact);
        if (settled != NULL && want != NULL)
            check_slice(frame_body(settled), slice_of(want), "its bytes: %s", shared_rows[i].fact);
        check_slice(frame_body(bare), slice_of(shared_rows[i].unsettled), "without id: %s", shared_rows[i].fact);
        frame_unref(bare);
        if (settled != NULL)
            frame_unref(settled);
        frame_unref(frame);
    }
}

static void test_other_id(void)
{
    struct message message;
    const char *why = message_decode(&message, SLICE("\x1esse1 5-1 4-0\nevent: a\ndata: id: x\nid:  \x01 \nretry: 7\n\n"));
    struct frame *frame = frame_with_id(&message, SLICE("new"));
    check(why == NULL && frame->durable && frame->at.ms == 5 && frame->prev.ms == 4, "its place stays");
    check_slice(frame_body(frame), SLICE("event: a\ndata: id: x\nid: new\nretry: 7\n\n"), "only its id is another");
    frame_unref(frame);
}

int main(void)
{
    test_other_id();
    test_shared();
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        struct frame *frame = frame_of_bytes(slice_of(rows[i].event)), *bare = frame_without_id(frame);
        check_slice(frame_body(bare), slice_of(rows[i].bare), "without id: %s", rows[i].fact);
        frame_unref(bare);
        frame_unref(frame);
    }
    return check_end();
}
