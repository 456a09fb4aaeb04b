#include "gateway/stream/transport.h"

#include <linux/tcp.h>
#include <sys/socket.h>

#include "gateway/stream/subscriber.h"
#include "gateway/stream_log.h"
#include "runtime/h2o/takeover.h"
#include "runtime/net/connection.h"
#include "runtime/net/tls_wire.h"

enum {
    CLIENT_BYTES_MAX = 16384, /* that a client may send on an open stream before it is closed */
    BATCH_FRAMES = 64, /* queued frames in one sendmsg(2) */
    GATHER_BYTES = 65536, /* of queued frames made into one run of TLS records */
};

static int fd_of(const struct subscriber *subscriber)
{
    return h2o_socket_get_fd(subscriber->sock);
}

/* The session of its socket, without libh2o in between, which would copy each record and call back for each write. */
static SSL *session(const struct subscriber *subscriber)
{
    return connection_of(subscriber->sock)->tls;
}

/* The queued frame's bytes as they go onto the socket. */
static struct slice bytes_of(const struct subscriber *subscriber, uint32_t index)
{
    const struct frame *frame = frames_at(&subscriber->queue, index);
    struct slice bytes = subscriber->chunked ? frame_chunk(frame) : frame_body(frame);
    return index == 0 ? slice_from(bytes, subscriber->offset) : bytes;
}

/* ---- writing ---- */

static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct subscriber *subscriber = sock->data;
    if (err != NULL)
        subscriber_close(subscriber, CLOSE_WRITE_ERROR);
    else
        subscriber_writable(subscriber);
}

static void http1_wait(struct subscriber *subscriber)
{
    subscriber->busy = true;
    h2o_socket_notify_write(subscriber->sock, on_writable);
}

/* After a write of the queue's front that gave `sent` of `wanted` bytes, or -1 and errno: takes what is out from the queue. False when the rest must wait. */
static bool wrote(struct subscriber *subscriber, ssize_t sent, size_t wanted)
{
    if (sent < 0 && !transport_would_block(errno)) {
        subscriber_broken(subscriber, errno);
        return false;
    }
    if (sent >= 0) { /* of no bytes at all too: an HTTP/1.0 client's last chunk has none */
        size_t left = (size_t)sent, size;
        uint32_t written = 0;
        for (; written < subscriber->queue.count && left >= (size = bytes_of(subscriber, written).n); ++written)
            left -= size;
        subscriber_written(subscriber, written, (uint32_t)left + (written == 0 ? subscriber->offset : 0));
    }
    if (sent == (ssize_t)wanted)
        return true;
    http1_wait(subscriber);
    return false;
}

static void plain_flush(struct subscriber *subscriber)
{
    struct iovec iov[BATCH_FRAMES];
    ssize_t sent;
    size_t wanted;
    do {
        struct msghdr message = {.msg_iov = iov};
        wanted = 0;
        while (message.msg_iovlen < BATCH_FRAMES && message.msg_iovlen < subscriber->queue.count) {
            struct slice bytes = bytes_of(subscriber, (uint32_t)message.msg_iovlen);
            iov[message.msg_iovlen++] = (struct iovec){(void *)bytes.p, bytes.n};
            wanted += bytes.n;
        }
        sent = sendmsg(fd_of(subscriber), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (wrote(subscriber, sent, wanted) && subscriber->queue.count != 0);
}

/* A write that OpenSSL took up but could not finish must be repeated with bytes that begin with the same ones: the queue's front, gathered again, does. */
static void tls_flush(struct subscriber *subscriber)
{
    static _Thread_local char gathered[GATHER_BYTES];
    ssize_t sent;
    size_t wanted;
    do {
        wanted = 0;
        for (uint32_t i = 0; i < subscriber->queue.count && wanted != GATHER_BYTES; ++i) {
            struct slice bytes = bytes_of(subscriber, i);
            size_t part = bytes.n < GATHER_BYTES - wanted ? bytes.n : GATHER_BYTES - wanted;
            memcpy(gathered + wanted, bytes.p, part);
            wanted += part;
        }
        sent = tls_wire_send(session(subscriber), gathered, wanted);
    } while (wrote(subscriber, sent, wanted) && subscriber->queue.count != 0);
}

static bool plain_send(struct subscriber *subscriber, struct frame *frame)
{
    struct slice chunk = frame_chunk(frame);
    return subscriber_sent(subscriber, frame, send(fd_of(subscriber), chunk.p, chunk.n, MSG_DONTWAIT | MSG_NOSIGNAL));
}

static bool tls_send(struct subscriber *subscriber, struct frame *frame)
{
    struct slice chunk = frame_chunk(frame);
    return subscriber_sent(subscriber, frame, tls_wire_send(session(subscriber), chunk.p, chunk.n));
}

static int plain_direct(const struct subscriber *subscriber)
{
    return subscriber->chunked && subscriber->sock != NULL ? fd_of(subscriber) : TRANSPORT_QUEUE;
}

static int tls_direct(const struct subscriber *subscriber)
{
    return subscriber->chunked && subscriber->sock != NULL ? TRANSPORT_SEND : TRANSPORT_QUEUE;
}

/* ---- reading ---- */

/* libh2o has read nothing: the client closed, or talks although it has nothing to say. `got` as recv(2) gives it. */
static void received(struct subscriber *subscriber, ssize_t got)
{
    if (got < 0 && transport_would_block(errno))
        return;
    if (got <= 0) {
        subscriber_close(subscriber, CLOSE_CLIENT);
        return;
    }
    subscriber->received += (uint32_t)got;
    if (subscriber->received > CLIENT_BYTES_MAX)
        subscriber_close(subscriber, CLOSE_CLIENT_DATA);
}

static void on_plain_readable(h2o_socket_t *sock, const char *err)
{
    char scratch[4096];
    received(sock->data, err != NULL ? 0 : recv(h2o_socket_get_fd(sock), scratch, sizeof(scratch), MSG_DONTWAIT));
}

static void on_tls_readable(h2o_socket_t *sock, const char *err)
{
    received(sock->data, err != NULL ? 0 : tls_wire_drain(connection_of(sock)->tls));
}

/* ---- opening and closing ---- */

/* What the client's kernel has acknowledged on this connection, head and TLS included: nothing is counted while the stream is open. */
static uint64_t bytes_acked(int fd)
{
    struct tcp_info info = {.tcpi_bytes_acked = 0};
    socklen_t size = sizeof(info);
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
    return info.tcpi_bytes_acked;
}

static void http1_close(struct subscriber *subscriber, bool written)
{
    h2o_socket_t *sock = subscriber->sock;
    (void)written; /* the last chunk stood in the queue; a stream that is cut ends without one, so its client knows */
    if (sock == NULL)
        return; /* still with h2o: on_taken_over() ends it */
    if (subscriber->log != NULL)
        stream_log_bytes(subscriber->log, bytes_acked(h2o_socket_get_fd(sock)));
    subscriber->sock = NULL;
    h2o_socket_close(sock);
    subscriber_detach(subscriber);
}

static void on_taken_over(void *data, h2o_socket_t *sock)
{
    struct subscriber *subscriber = data;
    if (sock == NULL || subscriber->state == SUBSCRIBER_CLOSED) {
        if (sock != NULL)
            h2o_socket_close(sock);
        subscriber_detach(subscriber);
        return;
    }
    subscriber->sock = sock;
    sock->data = subscriber;
    h2o_buffer_consume(&sock->input, sock->input->size);
    if (sock->ssl != NULL) {
        SSL *tls = session(subscriber);
        if (tls == NULL || !tls_wire_adopt(tls, fd_of(subscriber))) {
            subscriber_close(subscriber, CLOSE_CLIENT);
            return;
        }
    }
    h2o_socket_dont_read(sock, 1);
    h2o_socket_read_start(sock, sock->ssl != NULL ? on_tls_readable : on_plain_readable);
    subscriber_writable(subscriber);
}

static int http1_fd(const struct subscriber *subscriber)
{
    return subscriber->sock == NULL ? -1 : fd_of(subscriber);
}

static const void *http1_connection(const struct subscriber *subscriber)
{
    (void)subscriber;
    return NULL;
}

static void http1_prefetch(const struct subscriber *subscriber)
{
    (void)subscriber;
}

/* The response head and the comment that begins the body, to leave in one write. */
static h2o_iovec_t make_head(h2o_req_t *req, const struct subscriber *subscriber)
{
    static const char tail_chunked[] = "connection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n";
    static const char tail_chunked_close[] = "connection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    static const char tail_close[] = "connection: close\r\n\r\n";
    static const char status[] = "HTTP/1.1 200 OK\r\ndate: ";
    const struct slice comment = subscriber->chunked ? frame_chunk(comment_frame()) : frame_body(comment_frame());
    h2o_timestamp_t now;
    h2o_get_timestamp(req->conn->ctx, &req->pool, &now);
    size_t room = sizeof(status) + sizeof(tail_chunked) + H2O_TIMESTR_RFC1123_LEN + 2 + comment.n;
    for (size_t i = 0; i < req->res.headers.size; ++i)
        room += req->res.headers.entries[i].name->len + req->res.headers.entries[i].value.len + 4;
    char *head = h2o_mem_alloc_pool(&req->pool, room), *p = head;
#define PUT(bytes, n) (memcpy(p, bytes, n), p += (n))
    PUT(status, sizeof(status) - 1);
    PUT(now.str->rfc1123, H2O_TIMESTR_RFC1123_LEN);
    PUT("\r\n", 2);
    for (size_t i = 0; i < req->res.headers.size; ++i) {
        const h2o_header_t *header = &req->res.headers.entries[i];
        PUT(header->name->base, header->name->len);
        PUT(": ", 2);
        PUT(header->value.base, header->value.len);
        PUT("\r\n", 2);
    }
    if (subscriber->chunked && !req->http1_is_persistent)
        PUT(tail_chunked_close, sizeof(tail_chunked_close) - 1);
    else if (subscriber->chunked)
        PUT(tail_chunked, sizeof(tail_chunked) - 1);
    else
        PUT(tail_close, sizeof(tail_close) - 1);
    PUT(comment.p, comment.n);
#undef PUT
    return h2o_iovec_init(head, (size_t)(p - head));
}

static void http1_open(h2o_req_t *req, struct subscriber *subscriber)
{
    subscriber->chunked = req->version >= 0x101;
    takeover(req, make_head(req, subscriber), on_taken_over, subscriber);
}

const struct transport transport_plain = {
    .name = "http/1.1",
    .flush = plain_flush,
    .wait = http1_wait,
    .direct = plain_direct,
    .send = plain_send,
    .open = http1_open,
    .close = http1_close,
    .fd = http1_fd,
    .connection = http1_connection,
    .prefetch = http1_prefetch,
};

const struct transport transport_tls = {
    .name = "http/1.1 over TLS",
    .flush = tls_flush,
    .wait = http1_wait,
    .direct = tls_direct,
    .send = tls_send,
    .open = http1_open,
    .close = http1_close,
    .fd = http1_fd,
    .connection = http1_connection,
    .prefetch = http1_prefetch,
};
