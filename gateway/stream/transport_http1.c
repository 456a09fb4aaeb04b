#include "gateway/stream/transport.h"

#include <errno.h>

#include "gateway/stream/hub.h"
#include "gateway/stream/wire.h"
#include "gateway/takeover.h"

enum { CLIENT_BYTES_MAX = 16384 /* that a client may send on an open stream before it is closed */ };

static const struct wire *wire_of(const struct subscriber *subscriber)
{
    return subscriber->transport == &transport_tls ? &wire_tls : &wire_plain;
}

static bool is_passing(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR || error == ENOBUFS;
}

static void close_for_error(struct subscriber *subscriber, int error)
{
    subscriber_close(subscriber, error == EPIPE || error == ECONNRESET ? CLOSE_CLIENT : CLOSE_WRITE_ERROR);
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

/* How many whole frames, and how many bytes of the next, `sent` more bytes make. */
static void account(struct subscriber *subscriber, size_t sent)
{
    uint32_t written = 0;
    size_t offset = subscriber->queue.offset + sent;
    while (written < subscriber->queue.count) {
        size_t size = wire_bytes(subscriber, subscriber_queued(subscriber, written)).n;
        if (offset < size)
            break;
        offset -= size;
        ++written;
    }
    subscriber_written(subscriber, written, (uint32_t)offset);
}

static void http1_flush(struct subscriber *subscriber)
{
    const struct wire *wire = wire_of(subscriber);
    while (subscriber->queue.count != 0) {
        size_t wanted;
        ssize_t sent = wire->flush(subscriber, &wanted);
        if (sent < 0 && !is_passing(errno)) {
            close_for_error(subscriber, errno);
            return;
        }
        if (sent >= 0) /* of no bytes at all too: an HTTP/1.0 client's last chunk has none */
            account(subscriber, (size_t)sent);
        if (sent < (ssize_t)wanted) {
            subscriber->busy = true;
            h2o_socket_notify_write(subscriber->sock, on_writable);
            return;
        }
    }
}

bool transport_sent(struct subscriber *subscriber, struct frame *frame, ssize_t sent)
{
    if (sent == (ssize_t)frame_chunk(frame).n)
        return true;
    if (sent >= 0)
        subscriber_push_rest(subscriber, frame, (uint32_t)sent);
    else if (is_passing(errno))
        subscriber_push(subscriber, frame);
    else
        close_for_error(subscriber, errno);
    return false;
}

bool transport_send(struct subscriber *subscriber, struct frame *frame)
{
    return transport_sent(subscriber, frame, wire_of(subscriber)->send(subscriber, frame_chunk(frame)));
}

/* ---- reading ---- */

/* libh2o has read nothing: the client closed, or talks although it has nothing to say. */
static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct subscriber *subscriber = sock->data;
    ssize_t got = err != NULL ? 0 : wire_of(subscriber)->drain(subscriber);
    if (got < 0 && is_passing(errno))
        return;
    if (got <= 0) {
        subscriber_close(subscriber, CLOSE_CLIENT);
        return;
    }
    subscriber->received += (uint32_t)got;
    if (subscriber->received > CLIENT_BYTES_MAX)
        subscriber_close(subscriber, CLOSE_CLIENT_DATA);
}

/* ---- opening and closing ---- */

static void http1_close(struct subscriber *subscriber, bool written)
{
    h2o_socket_t *sock = subscriber->sock;
    (void)written; /* the last chunk stood in the queue; a stream that is cut ends without one, so its client knows */
    if (sock == NULL)
        return; /* still with h2o: on_taken_over() ends it */
    subscriber->sock = NULL;
    subscriber->detached = true;
    h2o_socket_close(sock);
}

static void on_taken_over(void *data, h2o_socket_t *sock)
{
    struct subscriber *subscriber = data;
    if (sock == NULL || subscriber->state == SUBSCRIBER_CLOSED) {
        if (sock != NULL)
            h2o_socket_close(sock);
        subscriber->detached = true;
        subscriber_close(subscriber, CLOSE_CLIENT);
        hub_bury(subscriber);
        return;
    }
    subscriber->sock = sock;
    sock->data = subscriber;
    h2o_buffer_consume(&sock->input, sock->input->size);
    if (sock->ssl != NULL && !wire_adopt_tls(subscriber)) {
        subscriber_close(subscriber, CLOSE_CLIENT);
        return;
    }
    h2o_socket_dont_read(sock, 1);
    h2o_socket_read_start(sock, on_readable);
    subscriber_writable(subscriber);
}

static int http1_fd(const struct subscriber *subscriber)
{
    return subscriber->sock == NULL ? -1 : h2o_socket_get_fd(subscriber->sock);
}

/* The response head and the comment that begins the body, to leave in one write. */
static h2o_iovec_t make_head(h2o_req_t *req, const struct subscriber *subscriber)
{
    static const char tail_chunked[] = "connection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n";
    static const char tail_chunked_close[] = "connection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    static const char tail_close[] = "connection: close\r\n\r\n";
    static const char status[] = "HTTP/1.1 200 OK\r\ndate: ";
    const struct slice comment = wire_bytes(subscriber, hub_comment(subscriber->hub));
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

const struct transport transport_plain = {"http/1.1", http1_open, http1_flush, http1_close, http1_fd};
const struct transport transport_tls = {"http/1.1 over TLS", http1_open, http1_flush, http1_close, http1_fd};

int transport_direct(const struct subscriber *subscriber)
{
    if (subscriber->transport == &transport_h2 || !subscriber->chunked || subscriber->sock == NULL)
        return TRANSPORT_QUEUE;
    return subscriber->transport == &transport_tls ? TRANSPORT_SEND : h2o_socket_get_fd(subscriber->sock);
}

const struct transport *transport_of(h2o_req_t *req)
{
    if (req->version >= 0x200)
        return &transport_h2;
    return req->conn->callbacks->get_socket(req->conn)->ssl == NULL ? &transport_plain : &transport_tls;
}
