/* The queues of streams and the limits on them: what counts, once or for each, and who is closed when. The owner is this file, its clock stands still until told. */
#include "gateway/stream/slow.h"

#include <stdlib.h>

#include "gateway/stream/transport.h"
#include "tests/check.h"
#include "tests/unit/fake_stream.h"

enum { TIMEOUT_MS = 30000, QUEUE_BYTES = 10000, MEMORY = 1000000, FIVE_SECONDS = 5000 };

static struct {
    struct slow slow;
    uint64_t now;
} hub;

static void on_changed(struct subscriber *subscriber)
{
    slow_update(&hub.slow, subscriber, hub.now);
}

static void ignore(struct subscriber *subscriber)
{
    (void)subscriber;
}

static const struct subscriber_owner owner = {.changed = on_changed, .drained = ignore, .left = ignore, .released = ignore};

/* ---- a client that reads nothing but what takes() says ---- */

static void on_flush(struct subscriber *subscriber)
{
    subscriber->busy = true;
}

static void on_close(struct subscriber *subscriber, bool written)
{
    (void)written;
    subscriber_detach(subscriber);
}

static const struct transport transport = {.name = "test", .flush = on_flush, .close = on_close};

static void begin(size_t memory)
{
    hub.now = 1000;
    slow_init(&hub.slow, &(struct slow_limits){.timeout_ms = TIMEOUT_MS, .queue_bytes = QUEUE_BYTES, .memory = memory});
}

static struct subscriber *stream(void)
{
    struct subscriber *subscriber = subscriber_create(&owner, NULL, &transport, 0, WELCOME_NOTHING);
    subscriber_go_live(subscriber);
    subscriber_writable(subscriber);
    return subscriber;
}

static void takes(struct subscriber *subscriber, uint32_t frames, uint32_t offset)
{
    subscriber_written(subscriber, frames, offset);
    subscriber_writable(subscriber);
}

static struct frame *event(size_t size)
{
    char *bytes = calloc(size, 1);
    struct frame *frame = frame_of_bytes(slice_make(bytes, size));
    free(bytes);
    return frame;
}

static void push(struct subscriber *subscriber, size_t size)
{
    struct frame *frame = event(size);
    subscriber_push(subscriber, frame);
    frame_unref(frame);
}

static bool closed(const struct subscriber *subscriber)
{
    return subscriber->state == SUBSCRIBER_RELEASED;
}

static int64_t closes(enum close_reason reason)
{
    return metric_sum(COUNT_CLOSES + (size_t)reason);
}

static void end(struct subscriber *subscriber)
{
    subscriber_close(subscriber, CLOSE_CLIENT);
    subscriber_free(subscriber);
}

/* ---- the sum ---- */

static void test_shared(void)
{
    enum { STREAMS = 600, BIG = 1 << 20 };
    struct subscriber *streams[STREAMS];
    struct frame *frame = event(BIG);
    const int64_t memory = (int64_t)frame_memory(frame);
    begin((size_t)memory);
    for (int i = 0; i < STREAMS; ++i)
        subscriber_push(streams[i] = stream(), frame);
    check(metric_sum(COUNT_QUEUED_BYTES) == memory, "an event in 600 queues counts once");
    check(metric_sum(COUNT_STREAMS_WAITING) == STREAMS, "600 streams wait");
    slow_check(&hub.slow, hub.now);
    check(closes(CLOSE_MEMORY) == 0, "at the limit no stream is closed");
    for (int i = 1; i < STREAMS; ++i)
        takes(streams[i], 1, 0);
    check(metric_sum(COUNT_QUEUED_BYTES) == memory, "it counts until the last queue is rid of it");
    hub.slow.limits.memory = (size_t)memory - 1;
    slow_check(&hub.slow, hub.now);
    check(closes(CLOSE_MEMORY) == 1 && closed(streams[0]), "a byte above the limit it is closed");
    check(metric_sum(COUNT_QUEUED_BYTES) == 0, "what a closed stream held is given back before it is freed");
    check(metric_sum(COUNT_STREAMS_WAITING) == 0, "nobody waits");
    frame_unref(frame);
    for (int i = 0; i < STREAMS; ++i)
        end(streams[i]);
}

static void test_order(void)
{
    enum { STREAMS = 8, SIZE = 100000 };
    struct subscriber *streams[STREAMS], *small;
    int64_t before = closes(CLOSE_MEMORY);
    begin(MEMORY);
    small = stream();
    push(small, 100); /* in another channel, the longest without progress */
    for (int i = 0; i < STREAMS; ++i) {
        hub.now += 10;
        push(streams[i] = stream(), SIZE);
    }
    hub.now += 10;
    takes(streams[0], 0, 1); /* the first one reads again */
    for (int i = 0; i < STREAMS; ++i)
        push(streams[i], SIZE / 2); /* 12 × SIZE in all, MEMORY is 10 × SIZE */
    check(slow_grew(&hub.slow), "so much is looked at before the next tick");
    slow_check(&hub.slow, hub.now);
    check(closes(CLOSE_MEMORY) - before == 2, "as many are closed as needed, not more: %d", (int)(closes(CLOSE_MEMORY) - before));
    check(closed(streams[1]) && closed(streams[2]), "the longest without progress are");
    check(!closed(small), "a stream that holds little stays");
    check(metric_sum(COUNT_QUEUED_BYTES) <= MEMORY, "the sum is within the limit");
    check(!slow_grew(&hub.slow), "it was looked at");
    for (int i = 0; i < STREAMS; ++i)
        end(streams[i]);
    end(small);
}

static void test_array(void)
{
    enum { EVENTS = 4096 };
    struct frame *frame = event(1);
    begin(MEMORY);
    struct subscriber *one = stream();
    for (int i = 0; i < EVENTS; ++i)
        subscriber_push(one, frame);
    int64_t least = (int64_t)(EVENTS * sizeof(struct frame *) + frame_memory(frame));
    check(metric_sum(COUNT_QUEUED_BYTES) >= least, "the queue itself counts, too");
    end(one);
    check(metric_sum(COUNT_QUEUED_BYTES) == 0, "and is given back");
    frame_unref(frame);
}

/* ---- one stream ---- */

static void test_large(void)
{
    begin(SIZE_MAX / 2);
    struct subscriber *one = stream();
    push(one, 8 << 20);
    push(one, 8 << 20);
    hub.now += TIMEOUT_MS - 1;
    slow_check(&hub.slow, hub.now);
    check(!closed(one), "an event of any size fits behind another of any size");
    end(one);
}

static void test_bound(void)
{
    static const struct {
        const char *name;
        size_t between;
        bool closes;
    } rows[] = {{"QUEUE_BYTES", QUEUE_BYTES, false}, {"a byte more", QUEUE_BYTES + 1, true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        int64_t before = closes(CLOSE_QUEUE_FULL);
        begin(MEMORY);
        struct subscriber *one = stream();
        push(one, 3000);
        push(one, rows[i].between - QUEUE_BYTES / 2);
        push(one, QUEUE_BYTES / 2);
        push(one, 5000);
        check(one->queue.count == 4, "four events wait");
        hub.now += FIVE_SECONDS - 1;
        slow_check(&hub.slow, hub.now);
        check(!closed(one), "%s between the event under way and the newest: a burst has 5 seconds", rows[i].name);
        slow_check(&hub.slow, ++hub.now);
        check(closed(one) == rows[i].closes && closes(CLOSE_QUEUE_FULL) - before == rows[i].closes, "%s: %s", rows[i].name,
              rows[i].closes ? "then it is closed" : "it stays");
        end(one);
    }
    check(hub.slow.behind == 0, "no stream is left behind");
}

static void test_catching_up(void)
{
    begin(MEMORY);
    struct subscriber *one = stream();
    for (int i = 0; i < 10; ++i)
        push(one, 2000);
    check(hub.slow.behind == 1, "it is behind");
    hub.now += FIVE_SECONDS - 1;
    takes(one, 4, 0);
    check(hub.slow.behind == 0, "it has caught up");
    hub.now += 1;
    slow_check(&hub.slow, hub.now);
    push(one, 8000);
    push(one, 8000);
    hub.now += FIVE_SECONDS - 1;
    slow_check(&hub.slow, hub.now);
    check(!closed(one), "each time it is behind has its own 5 seconds");
    end(one);
}

static void test_history(void)
{
    struct frame *frames[] = {event(8000), event(8000), event(8000), event(8000)};
    begin(MEMORY);
    struct subscriber *one = stream();
    push(one, 2);
    subscriber_replay(one, frames, 4);
    push(one, 3000);
    push(one, 3000);
    push(one, 3000);
    hub.now += FIVE_SECONDS;
    slow_check(&hub.slow, hub.now);
    check(!closed(one) && subscriber_backlog(one) == 3000, "history in front does not count");
    takes(one, 6, 0);
    check(one->live_bytes == 6000 && one->replayed == 0, "what is left is live");
    takes(one, 2, 0);
    check(one->live_bytes == 0 && one->queue.bytes == 0, "nothing is left");
    end(one);
    for (size_t i = 0; i < 4; ++i)
        frame_unref(frames[i]);
}

static void test_timeout(void)
{
    begin(MEMORY);
    struct subscriber *stuck = stream(), *slow = stream();
    push(stuck, 100);
    push(slow, 100);
    hub.now += TIMEOUT_MS - 1;
    takes(slow, 0, 1);
    slow_check(&hub.slow, hub.now);
    check(!closed(stuck), "a client may read nothing for WRITE_TIMEOUT");
    slow_check(&hub.slow, ++hub.now);
    check(closed(stuck) && closes(CLOSE_WRITE_TIMEOUT) == 1, "not longer");
    check(!closed(slow), "one that read a byte goes on");
    end(stuck);
    end(slow);
}

int main(void)
{
    counters_init();
    metrics_thread();
    test_shared();
    test_order();
    test_array();
    test_large();
    test_bound();
    test_catching_up();
    test_history();
    test_timeout();
    check(metric_sum(COUNT_QUEUED_BYTES) == 0 && metric_sum(COUNT_STREAMS_WAITING) == 0, "all was given back");
    return check_end();
}
