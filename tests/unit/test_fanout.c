#include "gateway/stream/fanout.h"

#include <sys/socket.h>
#include <unistd.h>

#include "gateway/counters.h"
#include "gateway/stream/transport.h"
#include "runtime/metrics.h"
#include "tests/check.h"

/* Streams of one channel that are written to at once, each at a datagram socket, so that what was sent to it can be counted. */
enum { MOST = 6 };

static struct {
    struct subscriber *subscriber;
    int ours, theirs;
} streams[MOST];

static struct fanout fanout;
static struct frame *frame;

static struct member *member(uint32_t i)
{
    return &streams[i].subscriber->members[0];
}

static void open_streams(void)
{
    for (uint32_t i = 0; i < MOST; ++i) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
            h2o_fatal("socketpair");
        streams[i].ours = ends[0];
        streams[i].theirs = ends[1];
        streams[i].subscriber = h2o_mem_alloc(sizeof(struct subscriber) + sizeof(struct member));
        *streams[i].subscriber = (struct subscriber){.member_count = 1};
        *member(i) = (struct member){.subscriber = streams[i].subscriber, .fanout = &fanout, .index = MEMBER_OUT};
    }
}

static void close_streams(void)
{
    for (uint32_t i = 0; i < MOST; ++i) {
        close(streams[i].ours);
        close(streams[i].theirs);
        free(streams[i].subscriber);
    }
}

static uint32_t taken(uint32_t i)
{
    char bytes[64];
    uint32_t count = 0;
    while (recv(streams[i].theirs, bytes, sizeof(bytes), 0) > 0)
        ++count;
    return count;
}

/* Whether each member of the array, and no other, knows its place. */
static bool in_order(uint32_t count)
{
    uint32_t in = 0;
    for (uint32_t i = 0; i < count; ++i) {
        uint32_t index = member(i)->index;
        if (index == MEMBER_OUT)
            continue;
        if (index >= fanout.count || fanout.entries[index].member != member(i))
            return false;
        ++in;
    }
    return in == fanout.count;
}

/* `count` streams; after `pause` of them were served these leave, in this order; then the rest is served. */
static bool run(uint32_t count, uint32_t pause, const uint32_t *leaving, uint32_t leavings)
{
    bool good = true, left[MOST] = {false};
    uint32_t before[MOST];
    for (uint32_t i = 0; i < count; ++i) {
        fanout_add(member(i));
        fanout_set_fd(streams[i].subscriber, streams[i].ours);
    }
    uint32_t budget = pause;
    good = fanout_serve(&fanout, frame, &budget) == (pause == count) && good;
    for (uint32_t i = 0; i < count; ++i)
        before[i] = taken(i);
    for (uint32_t i = 0; i < leavings; ++i) {
        fanout_remove(member(leaving[i]));
        left[leaving[i]] = true;
        good = in_order(count) && good;
    }
    budget = MOST;
    if (pause != count)
        good = fanout_serve(&fanout, frame, &budget) && good;
    for (uint32_t i = 0; i < count; ++i) {
        uint32_t after = taken(i);
        good = (left[i] ? before[i] <= 1 && after == 0 : before[i] + after == 1) && good;
        fanout_remove(member(i));
    }
    return fanout.count == 0 && fanout.cursor == 0 && good;
}

/* All sequences of leaves that begin with these; returns how many went wrong. */
static uint32_t run_all(uint32_t count, uint32_t pause, uint32_t *leaving, uint32_t leavings, uint32_t *runs)
{
    uint32_t wrong = !run(count, pause, leaving, leavings);
    ++*runs;
    for (uint32_t next = 0; next < count; ++next) {
        bool gone = false;
        for (uint32_t i = 0; i < leavings; ++i)
            gone = gone || leaving[i] == next;
        if (gone)
            continue;
        leaving[leavings] = next;
        wrong += run_all(count, pause, leaving, leavings + 1, runs);
    }
    return wrong;
}

static uint32_t waiting; /* streams that wait until the loop finds their sockets free */

static void on_wait(struct subscriber *subscriber)
{
    subscriber->busy = true;
    ++waiting;
}

static void on_changed(struct subscriber *subscriber)
{
    fanout_set_fd(subscriber, TRANSPORT_QUEUE);
}

static struct frame *frame_of_chunk(size_t size)
{
    static char body[1 << 17];
    struct frame *fitting = frame_of_bytes(slice_make(body, size - 16)); /* its length takes some bytes of the chunk, too */
    for (size_t n = size - 15; frame_chunk(fitting).n < size; ++n) {
        frame_unref(fitting);
        fitting = frame_of_bytes(slice_make(body, n));
    }
    return fitting;
}

/* Copies of a large frame are written in later turns, not while the events of other channels wait behind it. */
static void test_large(void)
{
    static const struct subscriber_owner owner = {.changed = on_changed};
    static const struct transport transport = {.wait = on_wait};
    struct subscriber *subscriber = streams[0].subscriber;
    *subscriber = (struct subscriber){.owner = &owner, .transport = &transport, .state = SUBSCRIBER_LIVE, .member_count = 1};
    fanout_add(member(0));
    fanout_set_fd(subscriber, streams[0].ours);
    struct frame *most = frame_of_chunk(65536), *large = frame_of_chunk(65537);
    uint32_t budget = MOST;
    check(fanout_serve(&fanout, most, &budget) && taken(0) == 1 && waiting == 0, "64 KiB are written at once");
    check(fanout_serve(&fanout, large, &budget) && taken(0) == 0, "what is larger is not");
    check(waiting == 1 && subscriber->queue.count == 1, "… but waits in the queue for a turn of its own");
    check(fanout.entries[0].fd == TRANSPORT_QUEUE, "… and what follows waits behind it");
    fanout_remove(member(0));
    frame_unref(frames_pop(&subscriber->queue));
    frames_dispose(&subscriber->queue);
    frame_unref(most);
    frame_unref(large);
}

int main(void)
{
    uint32_t leaving[MOST], runs = 0;
    metrics_thread();
    open_streams();
    frame = frame_of_bytes(SLICE("data: x\n\n"));
    for (uint32_t count = 1; count <= MOST; ++count)
        for (uint32_t pause = 1; pause <= count; ++pause)
            check(run_all(count, pause, leaving, 0, &runs) == 0,
                  "of %u streams %u are served, then some leave in any order: each that stays is served once", count, pause);
    check(runs > 10000, "%u orders", runs);
    test_large();
    fanout_dispose(&fanout);
    frame_unref(frame);
    close_streams();
    return check_end();
}
