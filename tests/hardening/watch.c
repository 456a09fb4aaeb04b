/* Well-behaved clients, in a process of their own so that nobody else's work is part of what they measure:
 *
 * watch PORT PATH STREAMS [REDIS CHANNEL PUBLISHER]
 *
 * Holds HTTP/1.1 streams, each on a connection of its own. The data of an event is the CLOCK_MONOTONIC nanosecond it was published
 * at. With the Unix socket of a Redis, the name of a bus channel and the port of a publisher it also publishes such an event there, and POSTs
 * one to the publisher's channel "posted" on one of AUTHORS connections, PER_SECOND times a second each, however long the answers take. For each 'r' on standard input it
 * prints, as JSON, what came since the last one: events, open streams, latencies in ms, POSTs answered with 200 and otherwise, and
 * how many events it has published in all. After an 's' it publishes and posts no more. Ends with standard input. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { KEPT = 1 << 20, PER_SECOND = 100, AUTHORS = 10, POSTS_MAX = 1 << 12 };

enum kind { STREAM, REDIS, POSTS, TICKS };

struct connection {
    enum kind kind;
    int fd; /* -1: closed */
    char line[4096];
    size_t n;
};

/* A client of the publisher, which sends each request on time, however long the last answer takes. */
struct author {
    struct connection connection;
    uint64_t began[POSTS_MAX], first, next; /* nanoseconds, of the POSTs that are not answered yet */
};

struct latencies {
    double ms[KEPT];
    size_t n;
};

static struct latencies events, posts;
static struct connection redis = {.kind = REDIS, .fd = -1}, ticks = {.kind = TICKS, .fd = -1};
static const char *channel;
static struct author authors[AUTHORS], *author = authors; /* whose turn it is */
static uint64_t published;
static int open_streams, refused, epoll;

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void took(struct latencies *latencies, uint64_t since_ns)
{
    if (latencies->n < KEPT)
        latencies->ms[latencies->n++] = (double)(int64_t)(now_ns() - since_ns) / 1e6;
}

static void on_answer(struct author *answered, const char *status)
{
    uint64_t began = answered->began[answered->first++ % POSTS_MAX];
    if (strncmp(status, "200", 3) == 0)
        took(&posts, began);
    else
        ++refused;
}

static void on_line(struct connection *connection)
{
    static const char answer[] = "HTTP/1.1 ";
    const char *status;
    connection->line[connection->n] = 0;
    if (connection->kind == STREAM && strncmp(connection->line, "data: ", 6) == 0)
        took(&events, strtoull(connection->line + 6, NULL, 10));
    else if (connection->kind == POSTS &&
             (status = strstr(connection->line, answer)) != NULL) /* behind the body of the one before */
        on_answer((struct author *)connection, status + sizeof(answer) - 1);
    else if (connection->kind == REDIS && connection->line[0] == '-')
        fprintf(stderr, "watch: %s\n", connection->line);
    connection->n = 0;
}

static void on_closed(struct connection *connection)
{
    close(connection->fd);
    connection->fd = -1;
    open_streams -= connection->kind == STREAM;
    refused += connection->kind == POSTS;
}

/* What does not fit is left out: of a large event only the start counts. */
static void add(struct connection *connection, const char *bytes, size_t n)
{
    size_t room = sizeof(connection->line) - 1 - connection->n;
    memcpy(connection->line + connection->n, bytes, n < room ? n : room);
    connection->n += n < room ? n : room;
}

static void on_readable(struct connection *connection)
{
    static char bytes[65536];
    ssize_t n = recv(connection->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    const char *at = bytes, *end = bytes + (n < 0 ? 0 : n), *line_end;
    for (; (line_end = memchr(at, '\n', (size_t)(end - at))) != NULL; at = line_end + 1) {
        add(connection, at, (size_t)(line_end - at));
        on_line(connection);
    }
    add(connection, at, (size_t)(end - at));
    if (n == 0)
        on_closed(connection);
}

static void dial(struct connection *connection, const void *address, socklen_t length)
{
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = connection};
    int on = 1;
    connection->fd = socket(((const struct sockaddr *)address)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(connection->fd, address, length) != 0) {
        perror("watch");
        exit(1);
    }
    epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &wanted);
}

static void dial_port(struct connection *connection, int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    dial(connection, &to, sizeof(to));
}

static bool send_all(const struct connection *connection, const char *text, int n)
{
    return connection->fd != -1 && send(connection->fd, text, (size_t)n, MSG_NOSIGNAL) == n;
}

static void open_stream(struct connection *stream, int port, const char *path)
{
    char request[512];
    int n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n", path);
    dial_port(stream, port);
    if (!send_all(stream, request, n))
        exit(1);
    ++open_streams;
}

static void publish(void)
{
    static const char post[] = "POST /channels/posted HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                               "content-length: 2\r\n\r\n{}";
    char command[512];
    int n = snprintf(command, sizeof(command), "PUBLISH %s %llu\r\n", channel, (unsigned long long)now_ns());
    published += send_all(&redis, command, n);
    author = author == authors ? authors + AUTHORS - 1 : author - 1;
    author->began[author->next % POSTS_MAX] = now_ns();
    author->next += send_all(&author->connection, post, sizeof(post) - 1);
}

static void on_tick(void)
{
    uint64_t due;
    if (read(ticks.fd, &due, sizeof(due)) == sizeof(due))
        for (; due != 0; --due)
            publish();
}

static void start_publishing(char **argv)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct timespec every = {.tv_nsec = 1000000000 / PER_SECOND};
    struct itimerspec times = {every, every};
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = &ticks};
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", argv[0]);
    dial(&redis, &to, sizeof(to));
    channel = argv[1];
    for (author = authors; author != authors + AUTHORS; ++author) {
        author->connection.kind = POSTS;
        dial_port(&author->connection, atoi(argv[2]));
    }
    ticks.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    timerfd_settime(ticks.fd, 0, &times, NULL);
    epoll_ctl(epoll, EPOLL_CTL_ADD, ticks.fd, &wanted);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const struct latencies *latencies, double q)
{
    return latencies->n == 0 ? 0 : latencies->ms[(size_t)(q * (double)(latencies->n - 1))];
}

static void report(void)
{
    qsort(events.ms, events.n, sizeof(events.ms[0]), by_value);
    qsort(posts.ms, posts.n, sizeof(posts.ms[0]), by_value);
    printf("{\"events\":%zu,\"open\":%d,\"p50\":%.2f,\"p99\":%.2f,\"max\":%.2f,\"published\":%llu,\"posts\":%zu,\"refused\":%d,"
           "\"post_p50\":%.2f,\"post_p99\":%.2f,\"post_max\":%.2f}\n",
           events.n, open_streams, quantile(&events, 0.5), quantile(&events, 0.99), quantile(&events, 1),
           (unsigned long long)published, posts.n, refused, quantile(&posts, 0.5), quantile(&posts, 0.99), quantile(&posts, 1));
    fflush(stdout);
    events.n = posts.n = 0;
    refused = 0;
}

/* False when nobody asks any more. */
static bool on_order(void)
{
    char byte;
    if (read(STDIN_FILENO, &byte, 1) != 1)
        return false;
    if (byte == 's')
        close(ticks.fd);
    else
        report();
    return true;
}

int main(int argc, char **argv)
{
    struct epoll_event ready[64], wanted = {.events = EPOLLIN};
    int streams = argc < 4 ? 0 : atoi(argv[3]);
    struct connection *all = calloc((size_t)streams + 1, sizeof(*all));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (all == NULL)
        return 1;
    for (int i = 0; i < streams; ++i)
        open_stream(&all[i], atoi(argv[1]), argv[2]);
    if (argc > 6)
        start_publishing(argv + 4);
    epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &wanted);
    for (;;) {
        int count = epoll_wait(epoll, ready, 64, -1);
        for (int i = 0; i < count; ++i) {
            if (ready[i].data.ptr == &ticks)
                on_tick();
            else if (ready[i].data.ptr != NULL)
                on_readable(ready[i].data.ptr);
            else if (!on_order())
                return 0;
        }
    }
}
