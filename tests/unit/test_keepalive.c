/* How often an idle stream gets a comment, and which streams the wheel closes or hands on: it turns by this file's clock, and what it pushes is only counted. */
#include "gateway/stream/keepalive.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "gateway/stream/fanout.h"
#include "gateway/stream/transport.h"
#include "tests/check.h"
#include "tests/unit/fake_stream.h"

enum {
    PERIOD_MS = 15000,
    STEP_MS = PERIOD_MS / (KEEPALIVE_SLOTS / 2) + 1,
    FIRST_STEPS = KEEPALIVE_SLOTS / 2 + 1, /* of the wheel, until a stream that comes with a step is looked at */
    PERIODS = 200,
    STREAMS = 20,
    MANY = 600, /* more than are looked at in one go */
};

static struct keepalive keepalive;
static struct tcp_info peer;
static int shut; /* how often a socket was shut down */
static uint64_t rotated_ms; /* when on_rotate() was called last */

struct one {
    struct subscriber *subscriber;
    uint64_t last; /* when it had its last comment */
    uint64_t least, most; /* between two */
    unsigned comments;
};
static struct one ones[MANY];

void subscriber_push(struct subscriber *subscriber, struct frame *frame)
{
    struct one *one = ones;
    while (one->subscriber != subscriber)
        ++one;
    uint64_t now = h2o_now(&fake_loop), since = now - one->last;
    check_failed += !slice_eq(frame_body(frame), SLICE(":\n"));
    check_failed += subscriber->active_ms != now; /* if it can't be written, it waits since now */
    if (one->comments++ == 0 || since < one->least)
        one->least = since;
    if (since > one->most)
        one->most = since;
    one->last = now;
    fake_happened("comment");
}

void subscriber_close(struct subscriber *subscriber, enum close_reason reason)
{
    keepalive_remove(&keepalive, subscriber);
    fake_happened(reason == CLOSE_VANISHED ? "vanished" : "closed");
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict size)
{
    if (fd != FD || level != IPPROTO_TCP || name != TCP_INFO)
        return -1;
    memcpy(value, &peer, *size);
    return 0;
}

int shutdown(int fd, int how)
{
    shut += fd == FD && how == SHUT_RDWR;
    return 0;
}

static const struct transport without_fd = {.name = "test", .fd = no_fd}, with_fd = {.name = "test", .fd = its_fd};

static void on_rotate(void *data, struct subscriber *subscriber)
{
    (void)data;
    rotated_ms = h2o_now(&fake_loop);
    subscriber->rotate_ms = UINT64_MAX;
    fake_happened("rotate");
}

static struct subscriber *stream(const struct transport *transport)
{
    struct subscriber *subscriber = calloc(1, sizeof(*subscriber) + sizeof(struct member));
    subscriber->transport = transport;
    subscriber->state = SUBSCRIBER_LIVE;
    subscriber->rotate_ms = UINT64_MAX;
    subscriber->members[0].index = MEMBER_OUT;
    keepalive_add(&keepalive, subscriber);
    check_failed += subscriber->active_ms != h2o_now(&fake_loop);
    return subscriber;
}

/* Passes to the next step of the wheel. */
static void pass_to_step(void)
{
    for (uint32_t slot = keepalive.now; keepalive.now == slot;)
        fake_pass(1);
}

/* ---- many streams over a long time ---- */

static void test_pace(void)
{
    const uint64_t step = keepalive.step_ms, end = h2o_now(&fake_loop) + PERIODS * (uint64_t)PERIOD_MS;
    for (int i = 0; i < STREAMS; ++i) {
        ones[i] = (struct one){.subscriber = stream(&without_fd), .last = h2o_now(&fake_loop)};
        ones[i].subscriber->busy = i == 1; /* its client does not read */
        ones[0].subscriber->active_ms = h2o_now(&fake_loop); /* this one is written to */
        fake_pass(step - 137); /* at no particular time of the wheel */
    }
    while (h2o_now(&fake_loop) < end) {
        ones[0].subscriber->active_ms = h2o_now(&fake_loop);
        fake_pass(step);
    }
    check(ones[0].comments == 0, "a stream that is written to gets no comment");
    check(ones[1].comments == 0, "nor does one whose client does not read");
    uint64_t least = UINT64_MAX, most = 0;
    unsigned fewest = UINT32_MAX;
    for (int i = 2; i < STREAMS; ++i) {
        least = ones[i].least < least ? ones[i].least : least;
        most = ones[i].most > most ? ones[i].most : most;
        fewest = ones[i].comments < fewest ? ones[i].comments : fewest;
    }
    check(least + step >= PERIOD_MS, "an idle stream gets one no sooner than KEEPALIVE_MS after the last: %u ms", (unsigned)least);
    check(most <= PERIOD_MS + 2 * step, "and no later, but for two steps of the wheel: %u ms", (unsigned)most);
    check(fewest >= PERIODS * 9 / 10, "in %u periods each has as many, nearly: %u", PERIODS, fewest);
    check(metric_sum(COUNT_KEEPALIVES) > (STREAMS - 2) * PERIODS * 9 / 10, "they are counted");
    check(keepalive.count == STREAMS, "all are in the wheel still");
    for (int i = 0; i < STREAMS; ++i) {
        check_failed += keepalive_any(&keepalive) == NULL;
        keepalive_remove(&keepalive, ones[i].subscriber);
        free(ones[i].subscriber);
    }
    check(keepalive.count == 0 && keepalive_any(&keepalive) == NULL, "the wheel is empty");
}

/* ---- one stream, looked at once ---- */

static const struct {
    const char *name;
    const struct transport *transport;
    bool busy;
    uint32_t queued;
    uint32_t channel_idle_ms; /* since an event of its channel; 0: it has no channel */
    uint64_t life_ms; /* 0: for ever */
    struct tcp_info peer;
    const char *says; /* in a period and two steps */
} rows[] = {
#define HEARD .tcpi_last_ack_recv = 0
#define SILENT .tcpi_last_ack_recv = PERIOD_MS
    {"idle", &without_fd, false, 0, 0, 0, {HEARD}, "comment "},
    {"its client does not read", &without_fd, true, 0, 0, 0, {HEARD}, ""},
    {"a frame waits", &without_fd, false, 1, 0, 0, {HEARD}, ""},
    {"its channel had an event just now", &without_fd, false, 0, 1, 0, {HEARD}, ""},
    {"its channel had one long ago", &without_fd, false, 0, 2 * PERIOD_MS, 0, {HEARD}, "comment "},
    {"its time is over first", &without_fd, false, 0, 0, PERIOD_MS / 2, {HEARD}, "rotate comment "},
    {"its time is over while it waits", &without_fd, true, 0, 0, PERIOD_MS / 2, {HEARD}, "rotate "},
    {"its time is over later", &without_fd, false, 0, 0, 10 * PERIOD_MS, {HEARD}, "comment "},
    {"its peer acknowledged everything", &with_fd, false, 0, 0, 0, {SILENT}, "comment "},
    {"its peer owes an acknowledgement", &with_fd, true, 0, 0, 0, {SILENT, .tcpi_unacked = 1}, ""},
    {"… and was sent it again", &with_fd, true, 0, 0, 0, {SILENT, .tcpi_unacked = 1, .tcpi_retransmits = 1}, "vanished "},
    {"… a step of the wheel short of a period ago",
     &with_fd,
     true,
     0,
     0,
     0,
     {.tcpi_last_ack_recv = PERIOD_MS - STEP_MS, .tcpi_unacked = 1, .tcpi_retransmits = 1},
     "vanished "},
    {"… but was heard since",
     &with_fd,
     true,
     0,
     0,
     0,
     {.tcpi_last_ack_recv = PERIOD_MS - STEP_MS - 1, .tcpi_unacked = 1, .tcpi_retransmits = 1},
     ""},
    {"… and owes nothing any more", &with_fd, true, 0, 0, 0, {SILENT, .tcpi_retransmits = 1}, ""},
    {"… but was heard", &with_fd, true, 0, 0, 0, {HEARD, .tcpi_unacked = 1, .tcpi_retransmits = 1}, ""},
    {"its peer vanished, its time is over",
     &with_fd,
     true,
     0,
     0,
     PERIOD_MS / 2,
     {SILENT, .tcpi_unacked = 1, .tcpi_retransmits = 1},
     "rotate vanished "},
};

static void test_visit(void)
{
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        struct fanout channel = {.active_ms = h2o_now(&fake_loop) + PERIOD_MS - rows[i].channel_idle_ms};
        struct subscriber *subscriber = stream(rows[i].transport);
        ones[0] = (struct one){.subscriber = subscriber, .last = h2o_now(&fake_loop)};
        subscriber->busy = rows[i].busy;
        subscriber->queue.count = rows[i].queued;
        if (rows[i].channel_idle_ms != 0) {
            subscriber->member_count = 1;
            subscriber->members[0] = (struct member){subscriber, &channel, 0};
        }
        if (rows[i].life_ms != 0) {
            subscriber->rotate_ms = h2o_now(&fake_loop) + rows[i].life_ms;
            keepalive_remove(&keepalive, subscriber);
            keepalive_add(&keepalive, subscriber);
        }
        peer = rows[i].peer;
        shut = 0;
        fake_trace[0] = '\0';
        fake_pass(PERIOD_MS + 2 * keepalive.step_ms);
        bool closed = strstr(rows[i].says, "vanished") != NULL;
        check_slice(slice_of(fake_trace), slice_of(rows[i].says), "%s", rows[i].name);
        check(shut == closed, "%s: its connection is shut down or not", rows[i].name);
        check(keepalive.count == !closed, "%s: it is in the wheel or not", rows[i].name);
        if (keepalive.count != 0)
            keepalive_remove(&keepalive, subscriber);
        free(subscriber);
    }
}

/* ---- at the bounds ---- */

static void drop(struct subscriber *subscriber)
{
    keepalive_remove(&keepalive, subscriber);
    free(subscriber);
}

/* An event came while the stream was in the wheel. What is silent for a period but half a step gets its comment now, and not a step later. */
static void test_half_a_step(void)
{
    static const struct {
        uint64_t short_ms; /* of a period, when it is looked at */
        uint64_t later; /* steps until its comment */
    } bounds[] = {{0, 0}, {STEP_MS / 2, 0}, {STEP_MS / 2 + 1, 1}, {STEP_MS - 1, 1}};
    for (size_t i = 0; i != sizeof(bounds) / sizeof(bounds[0]); ++i) {
        pass_to_step();
        uint64_t look_ms = h2o_now(&fake_loop) + FIRST_STEPS * STEP_MS;
        struct fanout channel = {.active_ms = look_ms - PERIOD_MS + bounds[i].short_ms};
        struct subscriber *subscriber = stream(&without_fd);
        ones[0] = (struct one){.subscriber = subscriber};
        subscriber->member_count = 1;
        subscriber->members[0] = (struct member){subscriber, &channel, 0};
        fake_pass((FIRST_STEPS + bounds[i].later) * STEP_MS - 1);
        check(ones[0].comments == 0, "%u ms short of a period: no comment yet", (unsigned)bounds[i].short_ms);
        fake_pass(1);
        check(ones[0].comments == 1, "… and then one, %u steps later", (unsigned)bounds[i].later);
        drop(subscriber);
    }
}

static void test_end_at_a_step(void)
{
    pass_to_step();
    struct subscriber *subscriber = stream(&without_fd);
    ones[0] = (struct one){.subscriber = subscriber};
    uint64_t end_ms = subscriber->rotate_ms = h2o_now(&fake_loop) + (FIRST_STEPS + 3) * STEP_MS;
    fake_pass((FIRST_STEPS + 5) * STEP_MS);
    check(rotated_ms == end_ms, "a stream whose time is over when the wheel looks is ended then");
    drop(subscriber);
}

static unsigned comments(void)
{
    unsigned sum = 0;
    for (int i = 0; i < MANY; ++i)
        sum += ones[i].comments;
    return sum;
}

static void test_full_slot(void)
{
    pass_to_step();
    for (int i = 0; i < MANY; ++i)
        ones[i] = (struct one){.subscriber = stream(&without_fd)};
    for (int i = 0; i < FIRST_STEPS + 2 && comments() == 0; ++i)
        pass_to_step();
    check(comments() == MANY, "each stream of a full slot gets its comment before the wheel goes on: %u", comments());
    uint64_t first = ones[0].last, last = ones[0].last;
    for (int i = 0; i < MANY; ++i) {
        first = ones[i].last < first ? ones[i].last : first;
        last = ones[i].last > last ? ones[i].last : last;
        drop(ones[i].subscriber);
    }
    check(last == first + 1, "in two goes, a millisecond apart: %u", (unsigned)(last - first));
}

static void count(void *data, struct subscriber *subscriber)
{
    ++*(int *)data;
    keepalive_remove(&keepalive, subscriber);
    free(subscriber);
}

static void test_each(void)
{
    int seen = 0;
    for (int i = 0; i != 1000; ++i) {
        stream(&without_fd);
        fake_pass(i % 100);
    }
    keepalive_each(&keepalive, count, &seen);
    check(seen == 1000 && keepalive.count == 0, "each stream is seen once, and may be taken out while it is");
}

int main(void)
{
    counters_init();
    metrics_thread();
    keepalive_init(&keepalive, &fake_loop, PERIOD_MS, on_rotate, NULL);
    test_pace();
    test_visit();
    test_half_a_step();
    test_end_at_a_step();
    test_full_slot();
    keepalive.period_ms = 0x7fffffff; /* nothing is due */
    test_each();
    return check_end();
}
