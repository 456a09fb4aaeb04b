#include "gateway/stream/batch.h"

#include <stdio.h>

#include "tests/check.h"

/* An inbox as the hub keeps it, of events of two channels. */
static h2o_linklist_t inbox;
static struct batch one, two;

static struct feed_update *put(struct batch *batch, const char *text)
{
    struct feed_update *update = h2o_mem_alloc(sizeof(*update));
    *update = (struct feed_update){.kind = UPDATE_EVENT, .event = {.frame = frame_of_bytes(slice_of(text))}};
    h2o_linklist_insert(&inbox, &update->super.link);
    batch_append(batch, update);
    return update;
}

/* Takes the inbox's first event with all that joins it, of its channel's batch. */
static bool take_events(struct batch *batch, bool shared, size_t max_bytes, uint16_t events, const char *want)
{
    struct feed_update *first = H2O_STRUCT_FROM_MEMBER(struct feed_update, super.link, inbox.next);
    batch_gather(batch, first, shared, max_bytes);
    struct frame *frame = batch_frame(first, SLICE("n"), (struct variant){.form = FORM_LEAN, .several = shared});
    struct slice body = frame_body(frame);
    bool same = slice_eq(body, slice_of(want)) && frame->events == events;
    if (!same)
        printf("# got %.*s, of %u events\n", (int)body.n, body.p, frame->events);
    frame_unref(frame);
    batch_free(first);
    h2o_linklist_unlink(&first->super.link);
    feed_update_free(first);
    return same;
}

/* … of one byte each. */
static bool take(struct batch *batch, bool shared, size_t max_bytes, const char *want)
{
    return take_events(batch, shared, max_bytes, (uint16_t)strlen(want), want);
}

static void begin(void)
{
    h2o_linklist_init_anchor(&inbox);
    one = two = (struct batch){NULL};
}

static void test_one_channel(void)
{
    begin();
    put(&one, "a");
    check(take(&one, false, 100, "a") && one.tail == NULL, "an event alone stays as it is");
    put(&one, "a"), put(&one, "b"), put(&one, "c");
    check(take(&one, false, 100, "abc") && h2o_linklist_is_empty(&inbox) && one.tail == NULL,
          "what waits together joins, in order");
    put(&one, "a"), put(&one, "b"), put(&one, "c"), put(&one, "d");
    check(take(&one, false, 3, "abc"), "as far as the bytes allow");
    put(&one, "e");
    check(take(&one, false, 3, "de"), "and the rest joins what comes later");
}

static void test_other_channels(void)
{
    begin();
    put(&one, "a"), put(&two, "x"), put(&one, "b"), put(&two, "y");
    check(take(&one, false, 100, "ab"), "events of another channel are passed over");
    check(take(&two, false, 100, "xy") && h2o_linklist_is_empty(&inbox), "and join one another");
    put(&one, "a"), put(&one, "b"), put(&two, "x"), put(&one, "c");
    check(take(&one, true, 100, "ab"), "not where a stream of both would see another order");
    check(take(&two, true, 100, "x") && take(&one, true, 100, "c"), "each in its turn then");
}

static void test_borders(void)
{
    begin();
    put(&one, "a"), put(&one, "b");
    batch_seal(&one);
    put(&one, "c"), put(&one, "d");
    check(take(&one, false, 100, "ab") && take(&one, false, 100, "cd"), "nothing is moved before the point where a stream joined");
    put(&one, "data: a\nid: 1\n\n"), put(&one, "data: b\nid: 2\nretry: 3600000\n\n")->event.unsettled = true;
    check(take_events(&one, true, 100, 2, "data: a\nid: 1\n\ndata: b\nretry: 60000\n\n"),
          "each is made for the variant before they join");
    put(&one, "a"), put(&one, "g")->event.frame->kind = FRAME_GAP, put(&one, "c");
    check(take(&one, false, 100, "a") && take(&one, false, 100, "g") && take(&one, false, 100, "c"), "a gap leaves alone");
    for (int i = 0; i < BATCH_EVENTS + 1; ++i)
        put(&one, "x");
    struct feed_update *first = H2O_STRUCT_FROM_MEMBER(struct feed_update, super.link, inbox.next);
    batch_gather(&one, first, false, 1 << 20);
    struct frame *frame = batch_frame(first, SLICE("n"), (struct variant){.form = FORM_LEAN});
    check(frame->events == BATCH_EVENTS, "at most so many join");
    frame_unref(frame);
    batch_free(first);
    h2o_linklist_unlink(&first->super.link);
    feed_update_free(first);
    check(take(&one, false, 100, "x"), "the next comes by itself");
}

int main(void)
{
    test_one_channel();
    test_other_channels();
    test_borders();
    return check_end();
}
