#include "tests/bench/floor.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/bench/options.h"

enum { DESCRIPTORS_MIN = 1024, ACCEPTS_A_TURN = 256 };

static void send_deliver(struct floor *floor, struct floor_channel *channel, const char *p, size_t n)
{
    for (uint32_t i = 0; i < channel->count;) {
        int fd = channel->fds[i];
        if (fd < 0) {
            floor_keep(floor, ~fd, p, n);
            ++i;
            continue;
        }
        ssize_t sent = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent == (ssize_t)n)
            ++i;
        else
            i += floor_taken(floor, fd, sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent, p, n);
    }
}

/* Every message that is whole; the rest stays. */
static void deliver_bus(struct floor *floor)
{
    size_t at = 0;
    struct floor_message message;
    while (floor->bus_have - at >= sizeof(message)) {
        memcpy(&message, floor->bus_bytes + at, sizeof(message));
        if (message.size > FLOOR_MESSAGE_MAX)
            bench_fail("bus: a message of %u bytes", message.size);
        if (floor->bus_have - at - sizeof(message) < message.size)
            break;
        at += sizeof(message);
        if (message.channel < floor->channel_capacity)
            floor->deliver(floor, &floor->channels[message.channel], floor->bus_bytes + at, message.size);
        at += message.size;
    }
    floor->bus_have -= at;
    memmove(floor->bus_bytes, floor->bus_bytes + at, floor->bus_have);
}

/* False when nothing was there. */
static bool bus_readable(struct floor *floor)
{
    ssize_t n = recv(floor->bus, floor->bus_bytes + floor->bus_have, sizeof(floor->bus_bytes) - floor->bus_have, MSG_DONTWAIT);
    if (n > 0) {
        floor->bus_have += (size_t)n;
        deliver_bus(floor);
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    close(floor->bus);
    floor->bus = -1;
    floor->bus_have = 0;
    return true;
}

/* A publisher that ended may still be open here when the next one comes. */
static void accept_bus(struct floor *floor)
{
    int fd = accept4(floor->bus_listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    while (floor->bus >= 0)
        if (!bus_readable(floor))
            bench_fail("bus: two publishers at once");
    floor->bus = fd;
    floor_watch(floor, fd, EPOLL_CTL_ADD, EPOLLIN);
}

static void accept_streams(struct floor *floor)
{
    for (unsigned i = 0; i < ACCEPTS_A_TURN; ++i) {
        int fd = accept4(floor->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            floor_open(floor, fd);
        else if (errno == EAGAIN)
            return;
        else if (errno != ECONNABORTED && errno != EINTR)
            bench_fail("accept: %s", strerror(errno));
    }
}

static void on_event(struct floor *floor, const struct epoll_event *event)
{
    int fd = event->data.fd;
    if (fd == floor->listener)
        accept_streams(floor);
    else if (fd == floor->bus_listener)
        accept_bus(floor);
    else if (fd == floor->bus)
        bus_readable(floor);
    else if ((event->events & EPOLLOUT) != 0)
        floor_writable(floor, fd);
    else
        floor_readable(floor, fd);
}

/* Accepted sockets inherit TCP_NODELAY. */
static int listen_on(uint64_t port)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 65535) != 0)
        bench_fail("port %u: %s", (unsigned)port, strerror(errno));
    return fd;
}

static struct floor *parse(int argc, char **argv)
{
    uint64_t port = 0, bus_port = 0;
    const char *cert = NULL, *key = NULL;
    bool uring = false;
    const struct bench_option options[] = {
        {"port", .needed = true, .number = &port, .min = 1, .max = 65535},
        {"bus-port", .needed = true, .number = &bus_port, .min = 1, .max = 65535},
        {"tls-cert", .text = &cert},
        {"tls-key", .text = &key},
        {"uring", .flag = &uring},
    };
    bench_options(options, sizeof(options) / sizeof(options[0]), argc, argv);
    if ((cert == NULL) != (key == NULL) || (cert != NULL && uring))
        bench_fail("floor: --tls-cert and --tls-key, or --uring");
    struct floor *floor = calloc(1, sizeof(*floor));
    if (floor == NULL)
        bench_fail("out of memory");
    floor->listener = listen_on(port);
    floor->bus_listener = listen_on(bus_port);
    floor->bus = -1;
    floor->ring = uring ? floor_uring_open() : NULL;
    floor->tls = cert != NULL ? floor_tls_context(cert, key) : NULL;
    floor->deliver = uring ? floor_uring_deliver : cert != NULL ? floor_tls_deliver : send_deliver;
    return floor;
}

int bench_floor(int argc, char **argv)
{
    struct floor *floor = parse(argc, argv);
    signal(SIGPIPE, SIG_IGN); /* SSL_write has no MSG_NOSIGNAL */
    bench_descriptors(DESCRIPTORS_MIN);
    floor->epoll = epoll_create1(EPOLL_CLOEXEC);
    floor_watch(floor, floor->listener, EPOLL_CTL_ADD, EPOLLIN);
    floor_watch(floor, floor->bus_listener, EPOLL_CTL_ADD, EPOLLIN);
    puts("{\"ready\":true}");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(floor->epoll, events, 256, -1);
        for (int i = 0; i < n; ++i)
            on_event(floor, &events[i]);
    }
}
