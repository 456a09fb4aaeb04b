/* A well-behaved client:
 *
 * watch PORT PATH STREAMS
 *
 * Holds HTTP/1.1 streams, each on a connection of its own. The data of an event is the CLOCK_MONOTONIC nanosecond it was published
 * at. For each line on standard input it prints, as JSON, what came since the last one: events, open streams, latency in ms. Ends
 * with standard input. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { KEPT = 1 << 20 };

struct stream {
    int fd;
    char line[4096];
    size_t n;
};

static double latencies[KEPT]; /* ms */
static size_t events;
static int open_streams;

static double since_ms(const char *nanoseconds)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ((double)ts.tv_sec * 1e9 + (double)ts.tv_nsec - strtod(nanoseconds, NULL)) / 1e6;
}

static void on_line(struct stream *stream)
{
    stream->line[stream->n] = 0;
    if (strncmp(stream->line, "data: ", 6) == 0 && events < KEPT)
        latencies[events++] = since_ms(stream->line + 6);
    stream->n = 0;
}

static void on_bytes(struct stream *stream, const char *bytes, ssize_t n)
{
    for (ssize_t i = 0; i < n; ++i) {
        if (bytes[i] == '\n')
            on_line(stream);
        else if (stream->n < sizeof(stream->line) - 1)
            stream->line[stream->n++] = bytes[i];
    }
}

static void on_readable(struct stream *stream)
{
    static char bytes[65536];
    ssize_t n = recv(stream->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n > 0) {
        on_bytes(stream, bytes, n);
    } else if (n == 0) {
        close(stream->fd);
        --open_streams;
    }
}

static void open_stream(struct stream *stream, int port, const char *path, int epoll)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = stream};
    char request[512];
    int n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n", path);
    stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(stream->fd, (struct sockaddr *)&to, sizeof(to)) != 0 || send(stream->fd, request, (size_t)n, 0) != n) {
        perror("watch");
        exit(1);
    }
    epoll_ctl(epoll, EPOLL_CTL_ADD, stream->fd, &wanted);
    ++open_streams;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double q)
{
    return events == 0 ? 0 : latencies[(size_t)(q * (double)(events - 1))];
}

static void report(void)
{
    qsort(latencies, events, sizeof(latencies[0]), by_value);
    printf("{\"events\":%zu,\"open\":%d,\"p50\":%.2f,\"p99\":%.2f,\"max\":%.2f}\n", events, open_streams, quantile(0.5),
           quantile(0.99), quantile(1));
    fflush(stdout);
    events = 0;
}

int main(int argc, char **argv)
{
    struct epoll_event ready[64], wanted = {.events = EPOLLIN};
    char byte[64];
    int epoll = epoll_create1(EPOLL_CLOEXEC), streams = argc < 4 ? 0 : atoi(argv[3]);
    struct stream *all = calloc((size_t)streams + 1, sizeof(*all));
    if (all == NULL)
        return 1;
    for (int i = 0; i < streams; ++i)
        open_stream(&all[i], atoi(argv[1]), argv[2], epoll);
    epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &wanted);
    for (;;) {
        int count = epoll_wait(epoll, ready, 64, -1);
        for (int i = 0; i < count; ++i) {
            if (ready[i].data.ptr != NULL)
                on_readable(ready[i].data.ptr);
            else if (read(STDIN_FILENO, byte, sizeof(byte)) <= 0)
                return 0;
            else
                report();
        }
    }
}
