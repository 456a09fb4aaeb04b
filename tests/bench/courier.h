/* A connection that publishes: never blocks, keeps what the socket does not take, matches answers with requests. When the peer
 * closes it, what was not answered has failed, and it is opened again. */
#pragma once

#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/way.h"

struct courier_bytes {
    char *p;
    size_t start, end, capacity;
};

struct courier_request {
    uint64_t since_ns; /* what its answer's latency counts from */
    size_t size;
    unsigned events;
};

struct courier {
    const struct way *way;
    struct sockaddr_in to;
    int epoll, fd;
    bool wants_out; /* waits until the socket takes more */
    struct courier_bytes out, in;
    struct courier_request *requests; /* ring of those not answered; its capacity is a power of two */
    uint32_t first, count, capacity;
    size_t allowed; /* of the request under way when the way is `alone`: bytes still to send */
    bool under_way;
    redisReader *redis; /* owned; of the ways through Redis */
    void (*on_answer)(struct courier *courier, bool ok, unsigned events, uint64_t since_ns);
    void *owner;
};

/* Connects, and registers with `epoll`; the courier is the event's data.ptr. */
void courier_open(struct courier *courier, int epoll, const struct way *way, const struct sockaddr_in *to);

/* Puts one request, with `size` bytes of data of each of its events, behind the others; courier_flush() sends. */
void courier_request(struct courier *courier, const char *path, unsigned channel, const char *payloads, size_t size,
                     unsigned events, uint64_t since_ns);
void courier_flush(struct courier *courier);

/* For an epoll event of this courier. */
void courier_event(struct courier *courier, uint32_t events);

/* For a way: the oldest request has its answer; `refusal`, n bytes, says why it failed, NULL: it did not. The first one is named
 * on stderr. */
void courier_answered(struct courier *courier, const char *refusal, size_t n);

/* For a way: the peer closes this connection. */
void courier_reopen(struct courier *courier);

void courier_close(struct courier *courier);
