#include "tests/bench/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/courier.h"
#include "tests/bench/histogram.h"
#include "tests/bench/options.h"
#include "tests/bench/pacing.h"
#include "tests/bench/payload.h"

enum { ANSWERS_WAIT_S = 10, RATE_MAX = 10000000 };

struct publish {
    const struct way *way;
    struct sockaddr_in to;
    const char *path;
    uint64_t channels, rate, bytes, seconds, batch; /* bytes: of data, of each event; batch: events of a request */
    struct courier *couriers;
    unsigned courier_count;
    int epoll;
    struct pacing pacing;
    uint64_t acked, failed, last_answer_ns;
    struct histogram ack, late; /* both from when an event was due: to its answer, to its sending */
};

static const struct way *way_named(const char *name)
{
    static const struct way *const ways[] = {&way_redis, &way_redis_many, &way_redis_plain, &way_floor,
                                             &way_nchan, &way_pushpin,    &way_post};
    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); ++i)
        if (strcmp(ways[i]->name, name) == 0)
            return ways[i];
    bench_fail("--via %s: not known", name);
}

static void on_answer(struct courier *courier, bool ok, unsigned events, uint64_t since_ns)
{
    struct publish *publish = courier->owner;
    publish->last_answer_ns = bench_now_ns();
    if (ok) {
        publish->acked += events;
        histogram_add(&publish->ack, (publish->last_answer_ns - since_ns) / 1000);
    } else {
        publish->failed += events;
    }
}

static void open_couriers(struct publish *publish)
{
    publish->courier_count = publish->channels < publish->way->couriers ? (unsigned)publish->channels : publish->way->couriers;
    publish->couriers = calloc(publish->courier_count, sizeof(*publish->couriers));
    publish->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (publish->couriers == NULL || publish->epoll < 0)
        bench_fail("out of resources");
    for (unsigned i = 0; i < publish->courier_count; ++i) {
        courier_open(&publish->couriers[i], publish->epoll, publish->way, &publish->to);
        publish->couriers[i].owner = publish;
        publish->couriers[i].on_answer = on_answer;
    }
}

/* Everything that is due by now; late ones too. The channels take turns, with a request each, and a request is full when it is sent. */
static void send_due(struct publish *publish)
{
    uint64_t number, due_ns, first_ns = 0, now_ns = bench_now_ns();
    char payloads[PAYLOAD_MAX];
    while (pacing_take(&publish->pacing, now_ns, &number, &due_ns)) {
        uint64_t turn = number / publish->batch, at = number % publish->batch;
        unsigned channel = (unsigned)(turn % publish->channels);
        first_ns = at == 0 ? due_ns : first_ns;
        payload_write(payloads + at * publish->bytes, publish->bytes, turn / publish->channels * publish->batch + at + 1, due_ns);
        histogram_add(&publish->late, (now_ns - due_ns) / 1000);
        if (at + 1 == publish->batch)
            courier_request(&publish->couriers[channel % publish->courier_count], publish->path, channel, payloads, publish->bytes,
                            (unsigned)publish->batch, first_ns);
    }
    for (unsigned i = 0; i < publish->courier_count; ++i)
        if (!publish->couriers[i].wants_out)
            courier_flush(&publish->couriers[i]);
}

static void turn(struct publish *publish)
{
    struct epoll_event events[64];
    pacing_arm(&publish->pacing);
    int n = epoll_wait(publish->epoll, events, 64, 100);
    for (int i = 0; i < n; ++i)
        if (events[i].data.ptr != NULL)
            courier_event(events[i].data.ptr, events[i].events);
    send_due(publish);
}

static void run(struct publish *publish)
{
    uint64_t total = publish->rate * publish->seconds;
    uint64_t whole = publish->channels * publish->batch;
    total += (whole - total % whole) % whole;
    pacing_start(&publish->pacing, publish->rate, total, publish->batch);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(publish->epoll, EPOLL_CTL_ADD, publish->pacing.timer, &event) != 0)
        bench_fail("epoll: %s", strerror(errno));
    while (publish->pacing.next < total)
        turn(publish);
    uint64_t end_ns = bench_now_ns() + (uint64_t)ANSWERS_WAIT_S * 1000000000;
    while (publish->acked + publish->failed < total && bench_now_ns() < end_ns)
        turn(publish);
    publish->failed = total - publish->acked;
}

static void report(const struct publish *publish)
{
    printf("{\"sent\":%llu,\"acked\":%llu,\"failed\":%llu,\"seconds\":%.3f,\"cpu_us\":%llu,\"ack_p50_us\":%llu,\"ack_p99_us\":%llu,"
           "\"ack_max_us\":%llu,\"late_p99_us\":%llu,\"late_max_us\":%llu,\"last_seq\":%llu}\n",
           (unsigned long long)publish->pacing.total, (unsigned long long)publish->acked, (unsigned long long)publish->failed,
           (double)(publish->last_answer_ns - publish->pacing.start_ns) / 1e9, (unsigned long long)bench_cpu_us(),
           (unsigned long long)histogram_percentile(&publish->ack, 50), (unsigned long long)histogram_percentile(&publish->ack, 99),
           (unsigned long long)publish->ack.max_us, (unsigned long long)histogram_percentile(&publish->late, 99),
           (unsigned long long)publish->late.max_us, (unsigned long long)(publish->pacing.total / publish->channels));
}

static void parse(struct publish *publish, int argc, char **argv)
{
    const char *way = "";
    const struct bench_option options[] = {
        {"via", .needed = true, .text = &way},
        {"to", .needed = true, .address = &publish->to},
        {"path", .text = &publish->path},
        {"rate", .needed = true, .number = &publish->rate, .min = 1, .max = RATE_MAX},
        {"channels", .number = &publish->channels, .min = 1, .max = 1000000},
        {"bytes", .number = &publish->bytes, .min = PAYLOAD_MIN, .max = PAYLOAD_MAX},
        {"batch", .number = &publish->batch, .min = 1, .max = WAY_BATCH_MAX},
        {"seconds", .needed = true, .number = &publish->seconds, .min = 1, .max = 3600},
    };
    bench_options(options, sizeof(options) / sizeof(options[0]), argc, argv);
    publish->way = way_named(way);
    if ((publish->batch != 1 && publish->way->request_many == NULL) || publish->batch * publish->bytes > PAYLOAD_MAX)
        bench_fail("--batch %llu: only by redis-many, and %d bytes at most", (unsigned long long)publish->batch, PAYLOAD_MAX);
}

int bench_publish(int argc, char **argv)
{
    struct publish *publish = calloc(1, sizeof(*publish));
    if (publish == NULL)
        bench_fail("out of memory");
    publish->channels = 1;
    publish->bytes = PAYLOAD_SIZE;
    publish->batch = 1;
    parse(publish, argc, argv);
    if (publish->path == NULL)
        publish->path = publish->way->path;
    if (publish->path != NULL)
        bench_pattern(publish->path);
    open_couriers(publish);
    run(publish);
    report(publish);
    for (unsigned i = 0; i < publish->courier_count; ++i)
        courier_close(&publish->couriers[i]);
    pacing_end(&publish->pacing);
    close(publish->epoll);
    free(publish->couriers);
    free(publish);
    return 0;
}
