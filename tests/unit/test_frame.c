#include "gateway/frame.h"

#include "tests/check.h"

static const struct {
    const char *fact, *event, *want;
} rows[] = {
    {"of an event of version 1 both lines go", "event: message\ndata: a\nid: 1\nretry: 6000\n\n", "data: a\nid: 1\n\n"},
    {"another retry stays", "event: message\ndata: a\nid: 1\nretry: 60000\n\n", "data: a\nid: 1\nretry: 60000\n\n"},
    {"no retry stays none", "event: message\ndata: a\nid: 1\n\n", "data: a\nid: 1\n\n"},
    {"without an id, too", "event: message\ndata: a\nretry: 6000\n\n", "data: a\n\n"},
    {"with an empty one, too", "event: message\ndata: a\nid:\nretry: 6000\n\n", "data: a\nid:\n\n"},
    {"an event with a type stays", "event: messages\ndata: a\nid: 1\nretry: 6000\n\n",
     "event: messages\ndata: a\nid: 1\nretry: 6000\n\n"},
    {"one without a type stays", "data: event: message\nid: 1\nretry: 6000\n\n", "data: event: message\nid: 1\nretry: 6000\n\n"},
    {"what only looks like them in the data stays", "event: message\ndata: event: message\ndata: retry: 6000\n\n",
     "data: event: message\ndata: retry: 6000\n\n"},
};

static void test_lean(void)
{
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        char payload[256];
        struct message message;
        snprintf(payload, sizeof(payload), "\x1esse1 5-1 4-0\n%s", rows[i].event);
        const char *why = message_decode(&message, slice_of(payload));
        struct frame *frame = frame_of_message(&message, message.id);
        check(why == NULL && frame->durable && frame->at.ms == 5 && frame->prev.ms == 4, "it has its place: %s", rows[i].fact);
        check_slice(frame_body(frame), slice_of(rows[i].want), "%s", rows[i].fact);
        check(slice_eq(frame_id(frame), message.id), "it knows its id: %s", rows[i].fact);
        frame_unref(frame);
    }
}

static void test_plain(void)
{
    struct message message;
    const char *why = message_decode(&message, SLICE("a\nb"));
    struct frame *frame = frame_of_message(&message, message.id);
    check(why == NULL && !frame->durable, "what has no header is plain data");
    check_slice(frame_body(frame), SLICE("data: a\ndata: b\n\n"), "its lines");
    frame_unref(frame);
}

static void test_other_id(void)
{
    struct message message;
    const char *why = message_decode(&message, SLICE("\x1esse1 5-1 4-0\nevent: a\ndata: id: x\nid:  \x01 \nretry: 7\n\n"));
    struct frame *frame = frame_of_message(&message, SLICE("new"));
    check(why == NULL && frame->durable && frame->at.ms == 5 && frame->prev.ms == 4, "its place stays");
    check_slice(frame_body(frame), SLICE("event: a\ndata: id: x\nid: new\nretry: 7\n\n"), "only its id is another");
    check_slice(frame_id(frame), SLICE("new"), "which it knows");
    check(frame->retry_ms == 7, "and its reconnect time");
    frame_unref(frame);
}

int main(void)
{
    test_other_id();
    test_lean();
    test_plain();
    return check_end();
}
