#include "tests/bench/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/courier.h"
#include "tests/bench/histogram.h"
#include "tests/bench/options.h"
#include "tests/bench/payload.h"

enum { ANSWERS_WAIT_S = 10 };

struct post {
    struct sockaddr_in to;
    const char *path;
    uint64_t channels, connections, pipeline, seconds;
    uint64_t *seqs; /* the last of each channel */
    unsigned next_channel;
    struct courier *couriers;
    int epoll;
    uint64_t start_ns, end_ns, last_answer_ns, sent, acked, failed;
    struct histogram latency;
};

static void request(struct post *post, struct courier *courier)
{
    char payload[PAYLOAD_SIZE];
    uint64_t now_ns = bench_now_ns();
    unsigned channel = post->next_channel++ % (unsigned)post->channels;
    payload_write(payload, PAYLOAD_SIZE, ++post->seqs[channel], now_ns);
    courier_request(courier, post->path, channel, payload, PAYLOAD_SIZE, 1, now_ns);
    ++post->sent;
}

static void on_answer(struct courier *courier, bool ok, unsigned events, uint64_t since_ns)
{
    (void)events;
    struct post *post = courier->owner;
    post->last_answer_ns = bench_now_ns();
    post->acked += ok;
    post->failed += !ok;
    if (ok)
        histogram_add(&post->latency, (post->last_answer_ns - since_ns) / 1000);
    if (post->last_answer_ns < post->end_ns)
        request(post, courier);
}

static void start(struct post *post)
{
    post->couriers = calloc(post->connections, sizeof(*post->couriers));
    post->seqs = calloc(post->channels, sizeof(*post->seqs));
    post->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (post->couriers == NULL || post->seqs == NULL || post->epoll < 0)
        bench_fail("out of resources");
    for (unsigned i = 0; i < post->connections; ++i) {
        courier_open(&post->couriers[i], post->epoll, &way_post, &post->to);
        post->couriers[i].owner = post;
        post->couriers[i].on_answer = on_answer;
    }
    post->start_ns = bench_now_ns();
    post->end_ns = post->start_ns + post->seconds * 1000000000;
    for (unsigned i = 0; i < post->connections; ++i) {
        for (uint64_t n = 0; n < post->pipeline; ++n)
            request(post, &post->couriers[i]);
        courier_flush(&post->couriers[i]);
    }
}

static void run(struct post *post)
{
    uint64_t stop_ns = post->end_ns + (uint64_t)ANSWERS_WAIT_S * 1000000000;
    while (post->acked + post->failed < post->sent && bench_now_ns() < stop_ns) {
        struct epoll_event events[64];
        int n = epoll_wait(post->epoll, events, 64, 100);
        for (int i = 0; i < n; ++i)
            courier_event(events[i].data.ptr, events[i].events);
    }
    post->failed = post->sent - post->acked;
}

static void report(const struct post *post)
{
    double seconds = (double)(post->last_answer_ns - post->start_ns) / 1e9;
    printf("{\"connections\":%llu,\"pipeline\":%llu,\"acked\":%llu,\"failed\":%llu,\"seconds\":%.3f,\"per_second\":%.0f,\"p50_ms\":"
           "%.3f,"
           "\"p99_ms\":%.3f,\"max_ms\":%.3f,\"cpu_us\":%llu}\n",
           (unsigned long long)post->connections, (unsigned long long)post->pipeline, (unsigned long long)post->acked,
           (unsigned long long)post->failed, seconds, post->acked == 0 ? 0 : (double)post->acked / seconds,
           (double)histogram_percentile(&post->latency, 50) / 1000, (double)histogram_percentile(&post->latency, 99) / 1000,
           (double)post->latency.max_us / 1000, (unsigned long long)bench_cpu_us());
}

static void parse(struct post *post, int argc, char **argv)
{
    const struct bench_option options[] = {
        {"to", .needed = true, .address = &post->to},
        {"path", .text = &post->path},
        {"channels", .number = &post->channels, .min = 1, .max = 1000000},
        {"connections", .number = &post->connections, .min = 1, .max = 20000},
        {"pipeline", .number = &post->pipeline, .min = 1, .max = 1000},
        {"seconds", .needed = true, .number = &post->seconds, .min = 1, .max = 3600},
    };
    bench_options(options, sizeof(options) / sizeof(options[0]), argc, argv);
    bench_pattern(post->path);
    bench_descriptors(post->connections + 64);
}

int bench_post(int argc, char **argv)
{
    struct post *post = calloc(1, sizeof(*post));
    if (post == NULL)
        bench_fail("out of memory");
    post->path = way_post.path;
    post->channels = 1;
    post->connections = 64;
    post->pipeline = 1;
    parse(post, argc, argv);
    start(post);
    run(post);
    report(post);
    for (unsigned i = 0; i < post->connections; ++i)
        courier_close(&post->couriers[i]);
    close(post->epoll);
    free(post->couriers);
    free(post->seqs);
    free(post);
    return 0;
}
