/* bench churn: keeps HTTP/1.1 event streams open, each on a channel of its own or on those of others, and replaces the oldest one by
 * a new one at a fixed rate, whatever the server's answers. The time to a stream's head counts from when it was due. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/bench/histogram.h"
#include "tests/bench/http1.h"
#include "tests/bench/link.h"
#include "tests/bench/options.h"

enum { EVENTS_MAX = 512, SOURCES = 64, OPENING_MAX = 256, PATIENCE_S = 10, REQUEST_MAX = 1024, NAMED_MAX = 5 };

struct visitor {
    struct link link;
    struct http1 http1;
    uint64_t due_ns;
    uint32_t number;
    bool waiting, counted; /* for its head; that it belongs to the measured time */
};

struct churn {
    struct sockaddr_in to;
    const char *authority, *path;
    uint64_t count, rate, seconds; /* count: of streams */
    uint64_t channels; /* stream n is on channel n % channels, or on n with 0 */
    SSL_CTX *tls;
    int epoll;
    struct visitor *visitors; /* a ring: number n is at n % count */
    uint32_t next; /* number */
    unsigned waiting;
    uint64_t opened, failed, closed; /* closed: by the server, after the head */
    struct histogram head; /* µs */
};

static void count_head(struct churn *churn, struct visitor *visitor)
{
    visitor->waiting = false;
    --churn->waiting;
    if (!visitor->counted)
        return;
    ++churn->opened;
    histogram_add(&churn->head, (bench_now_ns() - visitor->due_ns) / 1000);
}

static void leave(struct visitor *visitor)
{
    http1_dispose(&visitor->http1);
    link_close(&visitor->link);
}

static void broken(struct churn *churn, struct visitor *visitor, const char *reason)
{
    if (churn->failed + churn->closed < NAMED_MAX)
        fprintf(stderr, "bench churn: stream %u: %s\n", visitor->number, reason);
    churn->failed += visitor->waiting;
    churn->closed += !visitor->waiting;
    churn->waiting -= visitor->waiting;
    visitor->waiting = false;
    leave(visitor);
}

static const char *request(struct churn *churn, struct visitor *visitor)
{
    char request[REQUEST_MAX], path[REQUEST_MAX / 2];
    uint32_t channel = churn->channels == 0 ? visitor->number : (uint32_t)(visitor->number % churn->channels);
    int path_n = snprintf(path, sizeof(path), churn->path, (int)channel);
    int n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nhost: %s\r\naccept: text/event-stream\r\n\r\n", path,
                     churn->authority);
    if (path_n < 0 || (size_t)path_n >= sizeof(path) || n < 0 || (size_t)n >= sizeof(request))
        bench_fail("the path is too long");
    return link_write(&visitor->link, request, (size_t)n) ? NULL : "the connection broke";
}

static const char *take(struct churn *churn, struct visitor *visitor, const char *p, size_t n)
{
    const char *end = p + n, *body;
    size_t body_n;
    for (;;)
        switch (http1_next(&visitor->http1, &p, end, &body, &body_n)) {
        case HTTP1_MORE:
            return NULL;
        case HTTP1_HEAD:
            if (visitor->http1.status != 200)
                return "the answer is not 200";
            count_head(churn, visitor);
            break;
        case HTTP1_BODY:
            break;
        case HTTP1_END:
            return "the server ended it";
        case HTTP1_BAD:
            return "the answer is no HTTP/1.1";
        }
}

static void on_visitor(struct churn *churn, struct visitor *visitor, uint32_t events)
{
    const char *p = NULL, *reason = NULL;
    size_t n = 0;
    enum link_got got;
    link_event(&visitor->link, events);
    while (reason == NULL && (got = link_next(&visitor->link, &p, &n)) != LINK_NOTHING) {
        if (got == LINK_BROKEN)
            reason = p;
        else
            reason = got == LINK_READY ? request(churn, visitor) : take(churn, visitor, p, n);
    }
    if (reason != NULL)
        broken(churn, visitor, reason);
}

/* Until something happens or it is `until_ns`. */
static void turn(struct churn *churn, uint64_t until_ns)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now = bench_now_ns(), left = until_ns > now ? until_ns - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)};
    int n = epoll_pwait2(churn->epoll, events, EVENTS_MAX, &timeout, NULL);
    if (n < 0 && errno != EINTR)
        bench_fail("epoll: %s", strerror(errno));
    for (int i = 0; i < n; ++i)
        on_visitor(churn, events[i].data.ptr, events[i].events);
}

/* Takes the place of the oldest one. Not while events are gone through: they may still name the place. */
static void come(struct churn *churn, uint64_t due_ns, bool counted)
{
    struct visitor *visitor = &churn->visitors[churn->next % churn->count];
    if (visitor->waiting)
        broken(churn, visitor, "no head before its time was over");
    leave(visitor);
    *visitor = (struct visitor){.due_ns = due_ns, .number = churn->next, .waiting = true, .counted = counted};
    ++churn->waiting;
    const char *refused = link_connect(&visitor->link, &churn->to, churn->next % SOURCES, churn->tls, churn->epoll, visitor);
    ++churn->next;
    if (refused != NULL)
        broken(churn, visitor, refused);
}

static void settle(struct churn *churn, unsigned waiting_max)
{
    uint64_t end = bench_now_ns() + (uint64_t)PATIENCE_S * 1000000000;
    while (churn->waiting > waiting_max && bench_now_ns() < end)
        turn(churn, end);
}

static void fill(struct churn *churn)
{
    for (unsigned i = 0; i < churn->count; ++i) {
        come(churn, bench_now_ns(), false);
        settle(churn, OPENING_MAX - 1);
    }
    settle(churn, 0);
    if (churn->waiting + churn->failed != 0)
        bench_fail("%" PRIu64 " of %" PRIu64 " streams did not open", churn->waiting + churn->failed, churn->count);
}

static void run(struct churn *churn)
{
    uint64_t start = bench_now_ns(), total = churn->rate * churn->seconds;
    for (uint64_t k = 0; k < total;) {
        uint64_t due = start + k * 1000000000 / churn->rate;
        if (bench_now_ns() >= due) {
            come(churn, due, true);
            ++k;
            if (k % 64 != 0) /* what is due goes first, but answers don't wait for all of it */
                continue;
        }
        turn(churn, bench_now_ns() >= due ? 0 : due);
    }
    settle(churn, 0);
    churn->failed += churn->waiting;
}

static void parse(struct churn *churn, int argc, char **argv)
{
    bool tls = false;
    const struct bench_option options[] = {
        {"to", .needed = true, .text = &churn->authority, .address = &churn->to},
        {"path", .needed = true, .text = &churn->path},
        {"rate", .needed = true, .number = &churn->rate, .min = 1, .max = 1000000},
        {"seconds", .needed = true, .number = &churn->seconds, .min = 1, .max = 3600},
        {"streams", .needed = true, .number = &churn->count, .min = 1, .max = 1000000},
        {"channels", .number = &churn->channels, .min = 1, .max = 1000000},
        {"tls", .flag = &tls},
    };
    bench_options(options, sizeof(options) / sizeof(options[0]), argc, argv);
    if (bench_pattern(churn->path) != 1)
        bench_fail("--path needs a %%d: the number of the channel");
    if (tls)
        churn->tls = link_tls("http/1.1");
}

static void report(const struct churn *churn, double seconds, uint64_t cpu_us)
{
    printf("{\"streams\":%" PRIu64 ",\"opened\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"closed\":%" PRIu64, churn->count,
           churn->opened, churn->failed, churn->closed);
    printf(",\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f", (double)histogram_percentile(&churn->head, 50) / 1e3,
           (double)histogram_percentile(&churn->head, 99) / 1e3, (double)churn->head.max_us / 1e3);
    printf(",\"cpu_us\":%" PRIu64 ",\"seconds\":%.3f}\n", cpu_us, seconds);
}

static void dispose(struct churn *churn)
{
    for (unsigned i = 0; i < churn->count; ++i)
        leave(&churn->visitors[i]);
    free(churn->visitors);
    close(churn->epoll);
    SSL_CTX_free(churn->tls);
}

int bench_churn(int argc, char **argv)
{
    struct churn churn = {0};
    parse(&churn, argc, argv);
    bench_descriptors(churn.count + 64);
    churn.visitors = calloc(churn.count, sizeof(*churn.visitors));
    churn.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (churn.visitors == NULL || churn.epoll < 0)
        bench_fail("no memory");
    fill(&churn);
    uint64_t start_us = bench_cpu_us(), start_ns = bench_now_ns();
    run(&churn);
    report(&churn, (double)(bench_now_ns() - start_ns) / 1e9, bench_cpu_us() - start_us);
    dispose(&churn);
    return 0;
}
