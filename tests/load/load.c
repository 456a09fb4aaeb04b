/* Holds many HTTP/1.1 event streams open and checks that each gets every one of K numbered posts, in order.
 *
 *     load HOST PORT PATH STREAMS EXPECT SECONDS
 *
 * Prints "open N" when every stream's head is there, then, once all have EXPECT events, SECONDS have passed or a stream broke, one line
 * of JSON: {"streams":…,"complete":…,"events":…,"lost":…,"out_of_order":…,"broken":…}. An event's number is the first run of digits
 * in its data line; numbers start at 1. HOST is an IPv4 address. Exits 0 when every stream is complete. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PER_PROCESS = 15000, CONNECTING_MAX = 256, MATCH_MAX = 5 };

enum part { HEAD, SIZE, SIZE_END, BODY, BODY_END }; /* of an HTTP/1.1 answer; without chunks it stays in BODY */

struct stream {
    int fd;
    enum part part;
    bool chunked, broken;
    char head[1024];
    unsigned head_len;
    size_t left; /* of the chunk */
    unsigned column; /* bytes of the current line matched against "data:", MATCH_MAX + 1: not a data line */
    bool number_seen, number_done;
    uint32_t number, last;
};

/* What one process counts; handed to the parent through a pipe. */
struct tally {
    uint64_t streams, complete, events, lost, out_of_order, broken;
};

struct load {
    struct sockaddr_in to;
    char request[512];
    int epoll;
    struct stream *streams;
    unsigned count, started, open, complete;
    uint32_t expect;
    struct tally tally;
};

_Noreturn static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void event_number(struct load *load, struct stream *s)
{
    ++load->tally.events;
    if (s->number <= s->last) {
        ++load->tally.out_of_order;
        return;
    }
    load->tally.lost += s->number - s->last - 1;
    s->last = s->number;
    if (s->last == load->expect)
        ++load->complete;
}

/* One byte of the event stream. */
static void body_byte(struct load *load, struct stream *s, char c)
{
    static const char match[] = "data:";
    if (c == '\n') {
        if (s->number_seen)
            event_number(load, s);
        s->column = 0;
        s->number = 0;
        s->number_seen = s->number_done = false;
    } else if (s->column < MATCH_MAX) {
        s->column = c == match[s->column] ? s->column + 1 : MATCH_MAX + 1;
    } else if (s->column == MATCH_MAX && !s->number_done) {
        if (c >= '0' && c <= '9') {
            s->number = s->number * 10 + (uint32_t)(c - '0');
            s->number_seen = true;
        } else {
            s->number_done = s->number_seen;
        }
    }
}

static void broken(struct load *load, struct stream *s)
{
    if (!s->broken)
        ++load->tally.broken;
    s->broken = true;
    close(s->fd);
}

/* One byte of the head; at its end the answer must be 200. */
static bool head_byte(struct load *load, struct stream *s, char c)
{
    if (s->head_len == sizeof(s->head) - 1)
        return false;
    s->head[s->head_len++] = c;
    if (s->head_len < 4 || memcmp(s->head + s->head_len - 4, "\r\n\r\n", 4) != 0)
        return true;
    s->head[s->head_len] = 0;
    if (strncmp(s->head, "HTTP/1.1 200", 12) != 0)
        fail("not a stream: %.*s", (int)strcspn(s->head, "\r"), s->head);
    s->chunked = strcasestr(s->head, "\r\ntransfer-encoding: chunked") != NULL;
    s->part = s->chunked ? SIZE : BODY;
    ++load->open;
    return true;
}

static bool byte(struct load *load, struct stream *s, char c)
{
    switch (s->part) {
    case HEAD:
        return head_byte(load, s, c);
    case SIZE:
        if (c == '\r')
            s->part = SIZE_END;
        else if (c >= '0' && c <= '9')
            s->left = s->left * 16 + (size_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            s->left = s->left * 16 + (size_t)((c | 32) - 'a' + 10);
        else
            return false;
        return true;
    case SIZE_END:
        s->part = BODY;
        return s->left != 0;
    case BODY:
        body_byte(load, s, c);
        if (s->chunked && --s->left == 0)
            s->part = BODY_END;
        return true;
    case BODY_END:
        if (c == '\n')
            s->part = SIZE;
        return true;
    }
    return false;
}

static void readable(struct load *load, struct stream *s)
{
    char buf[65536];
    ssize_t n = read(s->fd, buf, sizeof(buf));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        broken(load, s);
        return;
    }
    for (ssize_t i = 0; i < n; ++i)
        if (!byte(load, s, buf[i])) {
            broken(load, s);
            return;
        }
}

static void start(struct load *load, struct stream *s)
{
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&load->to, sizeof(load->to)) != 0)
        fail("stream %u: %s", load->started, strerror(errno));
    size_t length = strlen(load->request);
    if (write(s->fd, load->request, length) != (ssize_t)length)
        fail("stream %u: request: %s", load->started, strerror(errno));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, s->fd, &event) != 0)
        fail("epoll: %s", strerror(errno));
    ++load->started;
}

static void turn(struct load *load, int timeout_ms)
{
    struct epoll_event events[512];
    int n = epoll_wait(load->epoll, events, 512, timeout_ms);
    for (int i = 0; i < n; ++i)
        readable(load, events[i].data.ptr);
}

static void open_all(struct load *load, uint64_t end)
{
    while (load->open < load->count && load->tally.broken == 0 && now_ms() < end) {
        while (load->started < load->count && load->started - load->open < CONNECTING_MAX)
            start(load, &load->streams[load->started]);
        turn(load, 100);
    }
    if (load->open < load->count)
        fail("only %u of %u streams opened", load->open, load->count);
}

/* The work of one process: opens `count` streams, says so with a byte on `ready`, and leaves its tally in `report`. */
static void work(struct load *load, int ready, int report, uint64_t end)
{
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->streams = calloc(load->count, sizeof(load->streams[0]));
    if (load->epoll < 0 || load->streams == NULL)
        fail("out of resources");
    open_all(load, end);
    if (write(ready, "", 1) != 1)
        fail("pipe");
    while (load->complete < load->count && load->tally.broken == 0 && now_ms() < end)
        turn(load, 100);
    struct tally *tally = &load->tally;
    tally->streams = load->count;
    tally->complete = load->complete;
    for (unsigned i = 0; i < load->count; ++i)
        tally->lost += load->expect - load->streams[i].last;
    if (write(report, tally, sizeof(*tally)) != sizeof(*tally))
        fail("pipe");
    exit(0);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void prepare(struct load *load, char **argv)
{
    load->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &load->to.sin_addr) != 1)
        fail("%s is no IPv4 address", argv[1]);
    int n = snprintf(load->request, sizeof(load->request), "GET %s HTTP/1.1\r\nhost: %s:%s\r\naccept: text/event-stream\r\n\r\n",
                     argv[3], argv[1], argv[2]);
    if (n < 0 || (size_t)n >= sizeof(load->request))
        fail("the path is too long");
    load->expect = (uint32_t)atoi(argv[5]);
}

int main(int argc, char **argv)
{
    if (argc != 7)
        fail("usage: load HOST PORT PATH STREAMS EXPECT SECONDS");
    struct load load = {0};
    prepare(&load, argv);
    raise_descriptor_limit();
    unsigned streams = (unsigned)atoi(argv[4]);
    unsigned processes = (streams + PER_PROCESS - 1) / PER_PROCESS;
    uint64_t end = now_ms() + (uint64_t)atoi(argv[6]) * 1000;
    int ready[2], report[2];
    if (pipe(ready) != 0 || pipe(report) != 0)
        fail("pipe: %s", strerror(errno));
    for (unsigned i = 0; i < processes; ++i) {
        pid_t pid = fork();
        if (pid < 0)
            fail("fork: %s", strerror(errno));
        if (pid == 0) {
            load.count = streams / processes + (i < streams % processes);
            work(&load, ready[1], report[1], end);
        }
    }
    close(ready[1]);
    close(report[1]);
    char byte_of_child;
    for (unsigned i = 0; i < processes; ++i)
        if (read(ready[0], &byte_of_child, 1) != 1)
            fail("a process gave up");
    printf("open %u\n", streams);
    fflush(stdout);
    struct tally sum = {0}, one;
    for (unsigned i = 0; i < processes; ++i) {
        if (read(report[0], &one, sizeof(one)) != sizeof(one))
            fail("a process gave up");
        sum.streams += one.streams, sum.complete += one.complete, sum.events += one.events;
        sum.lost += one.lost, sum.out_of_order += one.out_of_order, sum.broken += one.broken;
    }
    printf("{\"streams\":%llu,\"complete\":%llu,\"events\":%llu,\"lost\":%llu,\"out_of_order\":%llu,\"broken\":%llu}\n",
           (unsigned long long)sum.streams, (unsigned long long)sum.complete, (unsigned long long)sum.events,
           (unsigned long long)sum.lost, (unsigned long long)sum.out_of_order, (unsigned long long)sum.broken);
    while (wait(NULL) > 0)
        ;
    return sum.complete == streams && sum.out_of_order == 0 && sum.lost == 0 ? 0 : 1;
}
