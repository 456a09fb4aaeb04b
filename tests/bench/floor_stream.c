#include "tests/bench/floor.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/bench.h"

enum { HEAD_MAX = 8192, BACKLOG_MIN = 4096 };

static void *grown(void *p, size_t size)
{
    p = realloc(p, size);
    if (p == NULL)
        bench_fail("out of memory");
    return p;
}

static ssize_t stream_read(struct floor *floor, int fd, char *p, size_t n)
{
    if (floor->tls != NULL)
        return floor_tls_read(&floor->streams[fd], p, n);
    ssize_t got = recv(fd, p, n, MSG_DONTWAIT);
    if (got > 0)
        return got;
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static ssize_t stream_write(struct floor *floor, int fd, const char *p, size_t n)
{
    if (floor->tls != NULL)
        return floor_tls_write(&floor->streams[fd], p, n);
    ssize_t sent = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent;
}

void floor_watch(struct floor *floor, int fd, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(floor->epoll, operation, fd, &event) != 0)
        bench_fail("epoll: %s", strerror(errno));
}

void floor_open(struct floor *floor, int fd)
{
    if (fd >= floor->stream_capacity) {
        floor->stream_capacity = (fd + 1) * 2;
        floor->streams = grown(floor->streams, (size_t)floor->stream_capacity * sizeof(*floor->streams));
    }
    floor->streams[fd] = (struct floor_stream){.channel = FLOOR_NEW};
    if (floor->tls != NULL)
        floor_tls_open(floor, fd);
    floor_watch(floor, fd, EPOLL_CTL_ADD, EPOLLIN);
}

void floor_close(struct floor *floor, int fd)
{
    struct floor_stream *stream = &floor->streams[fd];
    if (stream->channel < FLOOR_CLOSED) {
        struct floor_channel *channel = &floor->channels[stream->channel];
        int last = channel->fds[--channel->count];
        channel->fds[stream->index] = last;
        floor->streams[last < 0 ? ~last : last].index = stream->index;
    }
    free(stream->backlog);
    SSL_free(stream->ssl);
    *stream = (struct floor_stream){.channel = FLOOR_CLOSED};
    close(fd);
}

static struct floor_channel *channel_at(struct floor *floor, uint32_t number)
{
    if (number >= floor->channel_capacity) {
        uint32_t capacity = (number + 1) * 2;
        floor->channels = grown(floor->channels, capacity * sizeof(*floor->channels));
        memset(floor->channels + floor->channel_capacity, 0, (capacity - floor->channel_capacity) * sizeof(*floor->channels));
        floor->channel_capacity = capacity;
    }
    return &floor->channels[number];
}

static void join(struct floor *floor, int fd, uint32_t number)
{
    struct floor_channel *channel = channel_at(floor, number);
    if (channel->count == channel->capacity) {
        channel->capacity = channel->capacity == 0 ? 1 : channel->capacity * 2;
        channel->fds = grown(channel->fds, channel->capacity * sizeof(*channel->fds));
    }
    floor->streams[fd].channel = number;
    floor->streams[fd].index = channel->count;
    channel->fds[channel->count++] = fd;
}

/* Room for `n` more bytes: first what was sent goes, then it doubles. */
static struct floor_backlog *room(struct floor_backlog *backlog, size_t n)
{
    size_t length = backlog == NULL ? 0 : backlog->end - backlog->start, capacity = backlog == NULL ? 0 : backlog->capacity;
    if (backlog != NULL && backlog->end + n > capacity) {
        memmove(backlog->bytes, backlog->bytes + backlog->start, length);
        backlog->start = 0;
        backlog->end = length;
    }
    if (length + n <= capacity)
        return backlog;
    capacity = capacity == 0 ? BACKLOG_MIN : capacity;
    while (capacity < length + n)
        capacity *= 2;
    backlog = grown(backlog, sizeof(*backlog) + capacity);
    backlog->start = 0;
    backlog->end = length;
    backlog->capacity = capacity;
    return backlog;
}

static void append(struct floor_backlog **backlog, const char *p, size_t n)
{
    *backlog = room(*backlog, n);
    memcpy((*backlog)->bytes + (*backlog)->end, p, n);
    (*backlog)->end += n;
}

void floor_keep(struct floor *floor, int fd, const char *p, size_t n)
{
    struct floor_stream *stream = &floor->streams[fd];
    if (stream->backlog == NULL) {
        floor->channels[stream->channel].fds[stream->index] = ~fd;
        floor_watch(floor, fd, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    }
    append(&stream->backlog, p, n);
}

bool floor_taken(struct floor *floor, int fd, ssize_t taken, const char *p, size_t n)
{
    if (taken < 0) {
        floor_close(floor, fd);
        return false;
    }
    if ((size_t)taken < n)
        floor_keep(floor, fd, p + taken, n - (size_t)taken);
    return true;
}

void floor_writable(struct floor *floor, int fd)
{
    struct floor_stream *stream = &floor->streams[fd];
    struct floor_backlog *backlog = stream->backlog;
    if (stream->channel >= FLOOR_CLOSED || backlog == NULL)
        return;
    ssize_t sent = stream_write(floor, fd, backlog->bytes + backlog->start, backlog->end - backlog->start);
    if (sent < 0) {
        floor_close(floor, fd);
        return;
    }
    backlog->start += (size_t)sent;
    if (backlog->start < backlog->end)
        return;
    free(backlog);
    stream->backlog = NULL;
    floor->channels[stream->channel].fds[stream->index] = fd;
    floor_watch(floor, fd, EPOLL_CTL_MOD, EPOLLIN);
}

/* The decimal number that the request's path ends with; false without one. */
static bool channel_of(const char *head, size_t n, uint32_t *number)
{
    const char *line_end = memchr(head, '\r', n), *path = memchr(head, ' ', n);
    if (line_end == NULL || path == NULL || path > line_end)
        return false;
    const char *end = memchr(path + 1, ' ', (size_t)(line_end - path - 1));
    const char *digits = end;
    while (digits != NULL && isdigit((unsigned char)digits[-1]))
        --digits;
    if (digits == end || end - digits > 7)
        return false;
    *number = (uint32_t)strtoul(digits, NULL, 10);
    return true;
}

static void answer(struct floor *floor, int fd, const char *head, size_t n)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    uint32_t number;
    if (!channel_of(head, n, &number)) {
        floor_close(floor, fd);
        return;
    }
    free(floor->streams[fd].backlog);
    floor->streams[fd].backlog = NULL;
    join(floor, fd, number);
    floor_taken(floor, fd, stream_write(floor, fd, ok, sizeof(ok) - 1), ok, sizeof(ok) - 1);
}

static void request_bytes(struct floor *floor, int fd, const char *p, size_t n)
{
    struct floor_stream *stream = &floor->streams[fd];
    if (stream->backlog == NULL && n > 4 && memcmp(p + n - 4, "\r\n\r\n", 4) == 0) {
        answer(floor, fd, p, n);
        return;
    }
    append(&stream->backlog, p, n);
    p = stream->backlog->bytes;
    n = stream->backlog->end;
    if (memmem(p, n, "\r\n\r\n", 4) != NULL)
        answer(floor, fd, p, n);
    else if (n > HEAD_MAX)
        floor_close(floor, fd);
}

void floor_readable(struct floor *floor, int fd)
{
    char bytes[4096];
    if (floor->streams[fd].channel == FLOOR_CLOSED)
        return;
    ssize_t n = stream_read(floor, fd, bytes, sizeof(bytes));
    if (n < 0)
        floor_close(floor, fd);
    else if (n > 0 && floor->streams[fd].channel == FLOOR_NEW)
        request_bytes(floor, fd, bytes, (size_t)n);
}
