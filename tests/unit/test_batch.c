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
static bool take(struct batch *batch, bool shared, size_t max_bytes, const char *want)
{
    struct feed_update *first = H2O_STRUCT_FROM_MEMBER(struct feed_update, super.link, inbox.next);
    batch_join(batch, first, shared, max_bytes);
    struct slice body = frame_body(first->event.frame);
    bool same = slice_eq(body, slice_of(want)) && first->event.frame->events == body.n;
    if (!same)
        printf("# got %.*s, of %u events\n", (int)body.n, body.p, first->event.frame->events);
    h2o_linklist_unlink(&first->super.link);
    feed_update_free(first);
    return same;
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
    put(&one, "a"), put(&one, "b")->event.unsettled = true, put(&one, "c");
    check(take(&one, true, 100, "a") && take(&one, true, 100, "b") && take(&one, true, 100, "c"),
          "an unsettled event stays alone where streams of several channels listen");
    const char *late = "data: a\nretry: 3600000\n\n";
    put(&one, "a"), put(&one, late)->event.frame->events = (uint16_t)strlen(late), put(&one, "c"); /* as take() counts */
    check(take(&one, true, 100, "a") && take(&one, true, 100, late) && take(&one, true, 100, "c"),
          "nor does one with a long retry join there");
    for (int i = 0; i < BATCH_EVENTS + 1; ++i)
        put(&one, "x");
    struct feed_update *first = H2O_STRUCT_FROM_MEMBER(struct feed_update, super.link, inbox.next);
    batch_join(&one, first, false, 1 << 20);
    check(first->event.frame->events == BATCH_EVENTS, "at most so many join");
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
