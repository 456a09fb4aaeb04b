#include "tests/bench/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/bench/http1.h"
#include "tests/bench/http2.h"

enum { EVENTS_MAX = 512, PER_SOURCE = 25000, PATIENCE_S = 30, PATH_MAX_BYTES = 512, REQUEST_MAX = HEADER_LINE_MAX + 1024 };

struct connection {
    struct link link;
    struct stream *first;
    unsigned count;
    struct http1 http1;
    struct http2 *http2; /* owned; NULL until the connection is ready, and with HTTP/1.1 */
};

void reader_create(struct reader *reader)
{
    reader->connection_count = (reader->streams.count + reader->per_connection - 1) / reader->per_connection;
    reader->connections = calloc(reader->connection_count, sizeof(*reader->connections));
    reader->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (reader->connections == NULL || reader->epoll < 0)
        bench_fail("no memory for %u connections", reader->connection_count);
    bench_descriptors(reader->connection_count + 64);
}

static void drop(struct connection *connection)
{
    http2_destroy(connection->http2);
    connection->http2 = NULL;
    http1_dispose(&connection->http1);
    link_close(&connection->link);
}

void reader_dispose(struct reader *reader)
{
    for (unsigned i = 0; i < reader->connection_count; ++i)
        drop(&reader->connections[i]);
    free(reader->connections);
    header_file_dispose(&reader->headers);
    close(reader->epoll);
    streams_dispose(&reader->streams);
    SSL_CTX_free(reader->tls);
}

static void close_connection(struct reader *reader, struct connection *connection, const char *reason)
{
    for (unsigned i = 0; i < connection->count; ++i)
        stream_close(&reader->streams, connection->first + i, reason);
    drop(connection);
}

static const char *request_http1(struct reader *reader, struct connection *connection)
{
    char request[REQUEST_MAX], path[PATH_MAX_BYTES];
    stream_path(&reader->streams, connection->first, path, sizeof(path));
    const char *header = header_file_line(&reader->headers, connection->first->number);
    int n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nhost: %s\r\naccept: text/event-stream\r\n%s%s\r\n", path,
                     reader->authority, header, header[0] == 0 ? "" : "\r\n");
    if (n < 0 || (size_t)n >= sizeof(request))
        bench_fail("the path is too long");
    return link_write(&connection->link, request, (size_t)n) ? NULL : "the connection broke";
}

static const char *ready(struct reader *reader, struct connection *connection)
{
    if (!reader->http2)
        return request_http1(reader, connection);
    if (reader->tls != NULL && !link_speaks(&connection->link, "h2"))
        return "the server does not speak HTTP/2";
    connection->http2 = http2_create(&connection->link, &reader->streams, connection->first, connection->count, reader->authority);
    return NULL;
}

static const char *take_http1(struct streams *streams, struct connection *connection, const char *p, size_t n)
{
    const char *end = p + n, *body;
    size_t body_n;
    for (;;)
        switch (http1_next(&connection->http1, &p, end, &body, &body_n)) {
        case HTTP1_MORE:
            return connection->first->phase == STREAM_CLOSED ? "closed" : NULL;
        case HTTP1_HEAD:
            stream_head(streams, connection->first, connection->http1.status);
            break;
        case HTTP1_BODY:
            stream_body(streams, connection->first, body, body_n);
            break;
        case HTTP1_END:
            return "the server ended it";
        case HTTP1_BAD:
            return "the answer is no HTTP/1.1";
        }
}

/* Everything that its descriptor has. */
static void on_connection(struct reader *reader, struct connection *connection, uint32_t events)
{
    const char *p = NULL, *broken = NULL;
    size_t n = 0;
    enum link_got got;
    link_event(&connection->link, events);
    while (broken == NULL && (got = link_next(&connection->link, &p, &n)) != LINK_NOTHING) {
        if (got == LINK_BROKEN) {
            broken = p;
        } else if (got == LINK_READY) {
            broken = ready(reader, connection);
        } else {
            reader->streams.now_ns = bench_now_ns();
            reader->streams.tally.bytes += n;
            broken =
                connection->http2 != NULL ? http2_take(connection->http2, p, n) : take_http1(&reader->streams, connection, p, n);
        }
    }
    if (broken != NULL)
        close_connection(reader, connection, broken);
}

bool reader_turn(struct reader *reader, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    bool input = false;
    int n = epoll_wait(reader->epoll, events, EVENTS_MAX, timeout_ms);
    if (n < 0 && errno != EINTR)
        bench_fail("epoll: %s", strerror(errno));
    for (int i = 0; i < n; ++i) {
        if (events[i].data.ptr == NULL)
            input = true;
        else
            on_connection(reader, events[i].data.ptr, events[i].events);
    }
    return input;
}

static void begin(struct reader *reader, unsigned index)
{
    struct connection *connection = &reader->connections[index];
    unsigned from = index * reader->per_connection, left = reader->streams.count - from;
    connection->first = &reader->streams.all[from];
    connection->count = left < reader->per_connection ? left : reader->per_connection;
    for (unsigned i = 0; i < connection->count; ++i)
        stream_started(&reader->streams, connection->first + i);
    const char *refused = link_connect(&connection->link, &reader->to, index / PER_SOURCE, reader->tls, reader->epoll, connection);
    if (refused != NULL)
        close_connection(reader, connection, refused);
}

void reader_open(struct reader *reader)
{
    const unsigned *phases = reader->streams.phases;
    unsigned waiting = 0;
    uint64_t progress = bench_now_ns();
    while (phases[STREAM_NEW] + phases[STREAM_WAITING] != 0) {
        while (reader->connected < reader->connection_count &&
               (phases[STREAM_WAITING] == 0 || phases[STREAM_WAITING] + reader->per_connection <= reader->opening_max))
            begin(reader, reader->connected++);
        reader_turn(reader, 100);
        if (phases[STREAM_NEW] + phases[STREAM_WAITING] != waiting)
            progress = bench_now_ns();
        else if (bench_now_ns() - progress > (uint64_t)PATIENCE_S * 1000000000)
            bench_fail("%u streams opened, then none for %d s", phases[STREAM_OPEN], PATIENCE_S);
        waiting = phases[STREAM_NEW] + phases[STREAM_WAITING];
    }
}
