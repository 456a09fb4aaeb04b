#include "tests/bench/courier.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/bench.h"

enum { READ_MIN = 16384 };

/* Where `n` more bytes may be written. */
static char *room(struct courier_bytes *bytes, size_t n)
{
    if (bytes->start == bytes->end)
        bytes->start = bytes->end = 0;
    if (bytes->end + n > bytes->capacity && bytes->start != 0) {
        memmove(bytes->p, bytes->p + bytes->start, bytes->end - bytes->start);
        bytes->end -= bytes->start;
        bytes->start = 0;
    }
    if (bytes->end + n > bytes->capacity) {
        bytes->capacity = (bytes->end + n) * 2;
        bytes->p = realloc(bytes->p, bytes->capacity);
        if (bytes->p == NULL)
            bench_fail("out of memory");
    }
    return bytes->p + bytes->end;
}

static void connect_now(struct courier *courier)
{
    int on = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = courier};
    courier->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (courier->fd < 0 || connect(courier->fd, (const struct sockaddr *)&courier->to, sizeof(courier->to)) != 0)
        bench_fail("connect to port %u: %s", ntohs(courier->to.sin_port), strerror(errno));
    if (setsockopt(courier->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        epoll_ctl(courier->epoll, EPOLL_CTL_ADD, courier->fd, &event) != 0)
        bench_fail("port %u: %s", ntohs(courier->to.sin_port), strerror(errno));
    courier->wants_out = false;
}

void courier_open(struct courier *courier, int epoll, const struct way *way, const struct sockaddr_in *to)
{
    *courier = (struct courier){.way = way, .to = *to, .epoll = epoll};
    connect_now(courier);
}

void courier_close(struct courier *courier)
{
    close(courier->fd);
    free(courier->out.p);
    free(courier->in.p);
    free(courier->requests);
    if (courier->redis != NULL)
        redisReaderFree(courier->redis);
}

static void push(struct courier *courier, struct courier_request request)
{
    if (courier->count == courier->capacity) {
        uint32_t capacity = courier->capacity == 0 ? 64 : courier->capacity * 2;
        struct courier_request *ring = malloc(capacity * sizeof(*ring));
        if (ring == NULL)
            bench_fail("out of memory");
        for (uint32_t i = 0; i < courier->count; ++i)
            ring[i] = courier->requests[(courier->first + i) & (courier->capacity - 1)];
        free(courier->requests);
        courier->requests = ring;
        courier->capacity = capacity;
        courier->first = 0;
    }
    courier->requests[(courier->first + courier->count++) & (courier->capacity - 1)] = request;
}

void courier_request(struct courier *courier, const char *path, unsigned channel, const char *payloads, size_t size,
                     unsigned events, uint64_t since_ns)
{
    const struct way *way = courier->way;
    char *out = room(&courier->out, WAY_HEAD_MAX + size * events);
    size_t n = way->request_many != NULL ? way->request_many(out, channel, payloads, size, events)
                                         : way->request(out, path, channel, payloads, size);
    courier->out.end += n;
    push(courier, (struct courier_request){since_ns, n, events});
}

void courier_answered(struct courier *courier, const char *refusal, size_t n)
{
    static bool named;
    if (courier->count == 0)
        bench_fail("port %u: an answer without a request", ntohs(courier->to.sin_port));
    struct courier_request request = courier->requests[courier->first];
    courier->first = (courier->first + 1) & (courier->capacity - 1);
    --courier->count;
    courier->under_way = false;
    if (refusal != NULL && !named)
        fprintf(stderr, "bench: port %u: %.*s\n", ntohs(courier->to.sin_port), (int)n, refusal);
    named |= refusal != NULL;
    courier->on_answer(courier, refusal == NULL, request.events, request.since_ns);
}

/* Without answers: `sent` more bytes are out, and with them perhaps requests. */
static void sent_is_done(struct courier *courier, size_t sent)
{
    while (sent != 0) {
        struct courier_request *request = &courier->requests[courier->first];
        if (sent < request->size) {
            request->size -= sent;
            return;
        }
        sent -= request->size;
        courier_answered(courier, NULL, 0);
    }
}

static size_t sendable(struct courier *courier)
{
    if (!courier->way->alone)
        return courier->out.end - courier->out.start;
    if (!courier->under_way && courier->count != 0) {
        courier->under_way = true;
        courier->allowed = courier->requests[courier->first].size;
    }
    return courier->under_way ? courier->allowed : 0;
}

static void want_out(struct courier *courier, bool wanted)
{
    if (courier->wants_out == wanted)
        return;
    struct epoll_event event = {.events = wanted ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = courier};
    if (epoll_ctl(courier->epoll, EPOLL_CTL_MOD, courier->fd, &event) != 0)
        bench_fail("epoll: %s", strerror(errno));
    courier->wants_out = wanted;
}

void courier_flush(struct courier *courier)
{
    size_t n = sendable(courier);
    if (n == 0)
        return;
    ssize_t sent = send(courier->fd, courier->out.p + courier->out.start, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        courier_reopen(courier);
        return;
    }
    size_t taken = sent < 0 ? 0 : (size_t)sent;
    courier->out.start += taken;
    courier->allowed -= courier->way->alone ? taken : 0;
    want_out(courier, taken < n);
    if (courier->way->answers == NULL)
        sent_is_done(courier, taken);
}

/* A way that sends one request after the other has no other under way; what waits goes over the new connection. */
void courier_reopen(struct courier *courier)
{
    static const char closed[] = "closed before the answer";
    close(courier->fd);
    connect_now(courier);
    courier->in.start = courier->in.end;
    if (courier->redis != NULL)
        redisReaderFree(courier->redis);
    courier->redis = NULL;
    if (courier->way->alone && !courier->under_way)
        return;
    courier->out.start = courier->out.end;
    for (uint32_t left = courier->count; left != 0; --left)
        courier_answered(courier, closed, sizeof(closed) - 1);
}

void courier_event(struct courier *courier, uint32_t events)
{
    if ((events & ~(uint32_t)EPOLLOUT) != 0) {
        ssize_t n = recv(courier->fd, room(&courier->in, READ_MIN), READ_MIN, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            courier_reopen(courier);
            return;
        }
        courier->in.end += n > 0 ? (size_t)n : 0;
        if (n > 0 && courier->way->answers != NULL)
            courier->way->answers(courier);
    }
    courier_flush(courier);
}
