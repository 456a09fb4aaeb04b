/* One stream: every state and every event, what each makes it say to its owner and its transport, and where it is then. Both are this file. */
#include "gateway/stream/subscriber.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/stream/transport.h"
#include "tests/check.h"
#include "tests/unit/fake_stream.h"

/* ---- the owner ---- */

static void on_changed(struct subscriber *subscriber)
{
    fake_happened(subscriber->waits ? "waits" : "free");
    if (subscriber->progress)
        fake_happened("progress");
    subscriber->progress = false;
}

static void on_drained(struct subscriber *subscriber)
{
    (void)subscriber;
    fake_happened("drained");
}

static void on_left(struct subscriber *subscriber)
{
    fake_happened(subscriber->state < SUBSCRIBER_ENDING ? "left" : "left-late");
}

static void on_released(struct subscriber *subscriber)
{
    fake_happened(subscriber->state == SUBSCRIBER_RELEASED ? "released" : "released-early");
}

static const struct subscriber_owner owner = {on_changed, on_drained, on_left, on_released};

/* ---- the transport ---- */

static uint32_t takes; /* frames that it writes at once */
static bool lets_go; /* libh2o does at once when the stream is closed */

static void on_open(h2o_req_t *req, struct subscriber *subscriber)
{
    (void)req, (void)subscriber;
    fake_happened("open");
}

static void on_flush(struct subscriber *subscriber)
{
    uint32_t count = subscriber->queue.count < takes ? subscriber->queue.count : takes;
    fake_happened("flush");
    takes -= count;
    subscriber_written(subscriber, count, count == 0 ? subscriber->offset : 0);
    subscriber->busy = subscriber->queue.count != 0;
}

static void on_close(struct subscriber *subscriber, bool written)
{
    fake_happened(written ? "end" : "cut");
    if (lets_go)
        subscriber_detach(subscriber);
}

static const struct transport transport = {.name = "test", .open = on_open, .flush = on_flush, .close = on_close};

/* ---- a stream in each state ---- */

enum state { HELD, OPENING, DRAINED, LIVE, WAITING, ENDING, CLOSED, RELEASED, STATES };
static const char *const state_names[] = {"held", "opening", "drained", "live", "waiting", "ending", "closed", "released"};

static h2o_req_t req;
static h2o_linklist_t held = {&held, &held};
static struct frame *event;

static void push(struct subscriber *subscriber)
{
    subscriber_push(subscriber, event);
}

static void end(struct subscriber *subscriber)
{
    subscriber_end(subscriber, CLOSE_ROTATE, event);
}

static void close_by_client(struct subscriber *subscriber)
{
    subscriber_close(subscriber, CLOSE_CLIENT);
}

static struct subscriber *stream(enum state state)
{
    h2o_mem_init_pool(&req.pool);
    takes = UINT32_MAX;
    lets_go = false;
    struct subscriber *subscriber = subscriber_create(&owner, NULL, &transport, 0, WELCOME_NOTHING);
    subscriber_hold(subscriber, &req, &held);
    if (state >= OPENING)
        subscriber_open(subscriber);
    if (state >= DRAINED)
        subscriber_writable(subscriber);
    if (state >= LIVE)
        subscriber_go_live(subscriber);
    if (state >= WAITING) {
        takes = 0;
        push(subscriber);
    }
    if (state >= ENDING)
        end(subscriber);
    if (state >= CLOSED)
        close_by_client(subscriber);
    if (state == RELEASED)
        subscriber_detach(subscriber);
    takes = UINT32_MAX;
    fake_trace[0] = '\0';
    return subscriber;
}

static void bury(struct subscriber *subscriber)
{
    close_by_client(subscriber);
    if (subscriber->state == SUBSCRIBER_CLOSED)
        subscriber_detach(subscriber);
    subscriber_free(subscriber);
    h2o_mem_clear_pool(&req.pool);
}

/* ---- every state and every event ---- */

static void refuse(struct subscriber *subscriber)
{
    static const struct refusal why = {429, 0, "no"};
    subscriber_refuse(subscriber, CLOSE_REFUSED, &why);
}

static void request_goes(struct subscriber *subscriber)
{
    (void)subscriber;
    h2o_mem_clear_pool(&req.pool);
    h2o_mem_init_pool(&req.pool);
}

static void replay(struct subscriber *subscriber)
{
    struct frame *const frames[] = {event, event};
    subscriber_replay(subscriber, frames, 2);
}

static void push_to_slow(struct subscriber *subscriber)
{
    takes = 0;
    push(subscriber);
}

static void close_at_once(struct subscriber *subscriber)
{
    lets_go = true;
    close_by_client(subscriber);
}

static const struct {
    const char *name;
    void (*run)(struct subscriber *subscriber);
    struct {
        const char *says;
        enum subscriber_state next;
    } in[STATES]; /* says NULL: that is not done */
} events[] = {
#define STAYS(state)           \
    {                          \
        "", SUBSCRIBER_##state \
    }
    {"its head is sent",
     subscriber_open,
     {{"open waits ", SUBSCRIBER_OPENING},
      STAYS(OPENING),
      STAYS(OPENING),
      STAYS(LIVE),
      STAYS(LIVE),
      STAYS(ENDING),
      STAYS(CLOSED),
      STAYS(RELEASED)}},
    {"it can write",
     subscriber_writable,
     {{NULL, 0},
      {"drained free ", SUBSCRIBER_OPENING},
      {"drained ", SUBSCRIBER_OPENING},
      STAYS(LIVE),
      {"flush free progress ", SUBSCRIBER_LIVE},
      {"flush free progress end ", SUBSCRIBER_CLOSED},
      STAYS(CLOSED),
      STAYS(RELEASED)}},
    {"an event comes",
     push,
     {{NULL, 0},
      {"waits ", SUBSCRIBER_OPENING},
      {"flush drained ", SUBSCRIBER_OPENING},
      {"flush ", SUBSCRIBER_LIVE},
      {"waits ", SUBSCRIBER_LIVE},
      STAYS(ENDING),
      STAYS(CLOSED),
      STAYS(RELEASED)}},
    {"an event comes that the client does not take",
     push_to_slow,
     {{NULL, 0},
      {"waits ", SUBSCRIBER_OPENING},
      {"flush waits ", SUBSCRIBER_OPENING},
      {"flush waits ", SUBSCRIBER_LIVE},
      {"waits ", SUBSCRIBER_LIVE},
      STAYS(ENDING),
      STAYS(CLOSED),
      STAYS(RELEASED)}},
    {"history comes",
     replay,
     {{NULL, 0},
      {"waits ", SUBSCRIBER_OPENING},
      {"flush drained ", SUBSCRIBER_OPENING},
      {"flush ", SUBSCRIBER_LIVE},
      {"waits ", SUBSCRIBER_LIVE},
      {NULL, 0},
      {NULL, 0},
      {NULL, 0}}},
    {"its time is over",
     end,
     {{"left 503 released ", SUBSCRIBER_RELEASED},
      {"left waits ", SUBSCRIBER_ENDING},
      {"left flush end ", SUBSCRIBER_CLOSED},
      {"left flush end ", SUBSCRIBER_CLOSED},
      {"left waits ", SUBSCRIBER_ENDING},
      STAYS(ENDING),
      STAYS(CLOSED),
      STAYS(RELEASED)}},
    {"it is closed",
     close_by_client,
     {{"left 503 released ", SUBSCRIBER_RELEASED},
      {"left free cut ", SUBSCRIBER_CLOSED},
      {"left cut ", SUBSCRIBER_CLOSED},
      {"left cut ", SUBSCRIBER_CLOSED},
      {"left free cut ", SUBSCRIBER_CLOSED},
      {"free cut ", SUBSCRIBER_CLOSED},
      STAYS(CLOSED),
      STAYS(RELEASED)}},
    {"it is closed and libh2o lets go at once",
     close_at_once,
     {{"left 503 released ", SUBSCRIBER_RELEASED},
      {"left free cut released ", SUBSCRIBER_RELEASED},
      {"left cut released ", SUBSCRIBER_RELEASED},
      {"left cut released ", SUBSCRIBER_RELEASED},
      {"left free cut released ", SUBSCRIBER_RELEASED},
      {"free cut released ", SUBSCRIBER_RELEASED},
      STAYS(CLOSED),
      STAYS(RELEASED)}},
    {"it is refused",
     refuse,
     {{"left 429 released ", SUBSCRIBER_RELEASED},
      {"left free cut ", SUBSCRIBER_CLOSED},
      {"left cut ", SUBSCRIBER_CLOSED},
      {"left cut ", SUBSCRIBER_CLOSED},
      {"left free cut ", SUBSCRIBER_CLOSED},
      {"free cut ", SUBSCRIBER_CLOSED},
      STAYS(CLOSED),
      STAYS(RELEASED)}},
    {"libh2o lets go of it",
     subscriber_detach,
     {{NULL, 0},
      {"left free released ", SUBSCRIBER_RELEASED},
      {"left released ", SUBSCRIBER_RELEASED},
      {"left released ", SUBSCRIBER_RELEASED},
      {"left free released ", SUBSCRIBER_RELEASED},
      {"free released ", SUBSCRIBER_RELEASED},
      {"released ", SUBSCRIBER_RELEASED},
      {NULL, 0}}},
    {"its request goes",
     request_goes,
     {{"left released ", SUBSCRIBER_RELEASED},
      STAYS(OPENING),
      STAYS(OPENING),
      STAYS(LIVE),
      STAYS(LIVE),
      STAYS(ENDING),
      STAYS(CLOSED),
      STAYS(RELEASED)}},
#undef STAYS
};

static void test_events(void)
{
    for (size_t i = 0; i != sizeof(events) / sizeof(events[0]); ++i)
        for (enum state state = HELD; state != STATES; ++state) {
            if (events[i].in[state].says == NULL)
                continue;
            struct subscriber *subscriber = stream(state);
            events[i].run(subscriber);
            check_slice(slice_of(fake_trace), slice_of(events[i].in[state].says), "%s, %s: what it says", state_names[state],
                        events[i].name);
            check(subscriber->state == events[i].in[state].next, "%s, %s: its state is %d", state_names[state], events[i].name,
                  subscriber->state);
            check(subscriber->state < SUBSCRIBER_CLOSED || subscriber->queue.count == 0, "nothing queues once it is closed");
            check(h2o_linklist_is_empty(&held) == (subscriber->request == NULL), "it is in the list while its head is held");
            bury(subscriber);
        }
}

/* ---- illegal moves ---- */

static void test_illegal(void)
{
#ifndef NDEBUG
    for (enum state state = LIVE; state != STATES; ++state) {
        struct subscriber *subscriber = stream(state);
        int status;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            close(STDERR_FILENO);
            subscriber_go_live(subscriber);
            _exit(0);
        }
        waitpid(child, &status, 0);
        check(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%s: it goes live only once", state_names[state]);
        bury(subscriber);
    }
#endif
}

/* ---- a write past the queue ---- */

static void test_sent(void)
{
    static const struct {
        const char *name;
        ssize_t sent; /* of 16 bytes, as one chunk */
        int error;
        bool out;
        enum subscriber_state next;
        uint32_t queued, offset;
        enum close_reason reason;
    } rows[] = {
        {"all of it", 16, 0, true, SUBSCRIBER_LIVE, 0, 0, CLOSE_REASONS},
        {"a part", 5, 0, false, SUBSCRIBER_LIVE, 1, 5, CLOSE_REASONS},
        {"nothing", 0, 0, false, SUBSCRIBER_LIVE, 1, 0, CLOSE_REASONS},
        {"EAGAIN", -1, EAGAIN, false, SUBSCRIBER_LIVE, 1, 0, CLOSE_REASONS},
        {"EINTR", -1, EINTR, false, SUBSCRIBER_LIVE, 1, 0, CLOSE_REASONS},
        {"ENOBUFS", -1, ENOBUFS, false, SUBSCRIBER_LIVE, 1, 0, CLOSE_REASONS},
        {"EPIPE", -1, EPIPE, false, SUBSCRIBER_CLOSED, 0, 0, CLOSE_CLIENT},
        {"ECONNRESET", -1, ECONNRESET, false, SUBSCRIBER_CLOSED, 0, 0, CLOSE_CLIENT},
        {"another error", -1, ETIMEDOUT, false, SUBSCRIBER_CLOSED, 0, 0, CLOSE_WRITE_ERROR},
    };
    check(frame_chunk(event).n == 16, "the event is a chunk of 16 bytes");
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        struct subscriber *subscriber = stream(LIVE);
        int64_t before = rows[i].reason == CLOSE_REASONS ? 0 : metric_sum(COUNT_CLOSES + (size_t)rows[i].reason);
        takes = 0;
        errno = rows[i].error;
        check(subscriber_sent(subscriber, event, rows[i].sent) == rows[i].out, "%s: out or not", rows[i].name);
        check(subscriber->state == rows[i].next && subscriber->queue.count == rows[i].queued, "%s: %u frames wait", rows[i].name,
              subscriber->queue.count);
        check(subscriber->offset == rows[i].offset, "%s: %u bytes of it are out", rows[i].name, subscriber->offset);
        check(rows[i].reason == CLOSE_REASONS || metric_sum(COUNT_CLOSES + (size_t)rows[i].reason) - before == 1,
              "%s: the reason is counted", rows[i].name);
        bury(subscriber);
    }
}

/* ---- the queue ---- */

static void test_queue(void)
{
    enum { EVENTS = 100 };
    struct frame *frames[EVENTS];
    struct subscriber *subscriber = stream(LIVE);
    takes = 0;
    uint32_t next = 0, wrong = 0;
    for (uint32_t i = 0; i != EVENTS; ++i) { /* seven in, five out: the ring turns, grows and turns again */
        subscriber_push(subscriber, frames[i] = frame_of_bytes(SLICE("data: x\n\n")));
        if (i % 7 != 6)
            continue;
        for (int j = 0; j != 5; ++j, ++next) {
            wrong += frames_at(&subscriber->queue, 0) != frames[next];
            subscriber_written(subscriber, 1, 0);
        }
    }
    check(wrong == 0, "frames leave in the order in which they came");
    check(subscriber->queue.count == EVENTS - next && subscriber->queue.bytes == (EVENTS - next) * 9,
          "as many and as many bytes stay");
    takes = UINT32_MAX;
    subscriber_writable(subscriber);
    check(subscriber->queue.count == 0 && subscriber->queue.frames == NULL, "an empty queue keeps no large array");
    check(metric_sum(COUNT_QUEUED_BYTES) == 0, "nothing counts any more");
    push(subscriber);
    check(subscriber->queue.count == 0 && subscriber->queue.frames != NULL, "… but a small one, for the next event");
    bury(subscriber);
    for (uint32_t i = 0; i != EVENTS; ++i)
        frame_unref(frames[i]);
}

/* History does not count against QUEUE_BYTES, whose bound is its page. */
static void test_live_bytes(void)
{
    struct subscriber *subscriber = stream(OPENING);
    replay(subscriber);
    push(subscriber);
    check(subscriber->live_bytes == event->body && subscriber->queue.bytes == 3 * event->body,
          "only what comes behind history counts");
    subscriber_written(subscriber, 2, 0);
    check(subscriber->live_bytes == event->body && subscriber->queue.count == 1, "… also when that is written");
    subscriber_written(subscriber, 1, 0);
    check(subscriber->live_bytes == 0, "… until it is, too");
    bury(subscriber);
}

static void test_progress(void)
{
    struct subscriber *subscriber = stream(WAITING);
    subscriber_written(subscriber, 0, 0);
    check(!subscriber->progress, "a write that took nothing is no progress");
    subscriber_written(subscriber, 0, 5);
    check(subscriber->progress, "a part of a frame is");
    bury(subscriber);
}

/* ---- the end ---- */

static void test_last_frames(void)
{
    struct subscriber *subscriber = stream(WAITING);
    struct frame *last = frame_of_bytes(SLICE("retry: 1\n\n"));
    subscriber_end(subscriber, CLOSE_DRAIN, last);
    check(subscriber->queue.count == 3 && frames_at(&subscriber->queue, 0) == event && frames_at(&subscriber->queue, 1) == last &&
              frames_at(&subscriber->queue, 2) == frame_last_chunk(),
          "its last frame follows what waits, and then the end of the body");
    subscriber_written(subscriber, 3, 0);
    subscriber->busy = true;
    fake_trace[0] = '\0';
    close_by_client(subscriber);
    check_slice(slice_of(fake_trace), SLICE("free progress cut "), "what the transport still writes when it is closed is cut");
    bury(subscriber);
    frame_unref(last);
}

static void test_counts(void)
{
    int64_t open = metric_sum(COUNT_STREAMS), opened = metric_sum(COUNT_STREAMS_OPENED);
    struct subscriber *subscriber = stream(LIVE);
    check(metric_sum(COUNT_STREAMS) - open == 1 && metric_sum(COUNT_STREAMS_OPENED) - opened == 1,
          "a stream counts from its start");
    for (size_t i = 0; i != 3; ++i)
        close_by_client(subscriber);
    check(metric_sum(COUNT_STREAMS) == open, "and no longer when it is closed, however often that is said");
    bury(subscriber);
}

int main(void)
{
    counters_init();
    metrics_thread();
    event = frame_of_bytes(SLICE("data: abc\n\n"));
    test_events();
    test_illegal();
    test_sent();
    test_queue();
    test_live_bytes();
    test_progress();
    test_last_frames();
    test_counts();
    frame_unref(event);
    return check_end();
}
