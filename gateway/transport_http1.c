#include "gateway/transport.h"

#include <errno.h>
#include <sys/socket.h>

#include "gateway/hub.h"
#include "gateway/takeover.h"

enum {
    BATCH_FRAMES = 64, /* queued frames in one sendmsg(2) */
    TLS_GATHER = 65536, /* bytes of queued frames made into one run of TLS records */
    CLIENT_BYTES_MAX = 16384, /* that a client may send on an open stream before it is closed */
};

static struct slice wire_bytes(const struct subscriber *subscriber, const struct frame *frame)
{
    return subscriber->chunked ? frame_chunk(frame) : frame_body(frame);
}

/* For notify_write and for a write of h2o's alike. */
static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct subscriber *subscriber = sock->data;
    if (err != NULL)
        subscriber_close(subscriber, CLOSE_WRITE_ERROR);
    else
        subscriber_writable(subscriber);
}

/* ---- plain ---- */

static void wait_writable(struct subscriber *subscriber)
{
    subscriber->busy = true;
    h2o_socket_notify_write(subscriber->sock, on_writable);
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

static void plain_flush(struct subscriber *subscriber)
{
    while (subscriber->queue.count != 0) {
        struct iovec iov[BATCH_FRAMES];
        size_t count = 0, total = 0;
        for (; count < BATCH_FRAMES && count < subscriber->queue.count; ++count) {
            struct slice bytes = wire_bytes(subscriber, subscriber_queued(subscriber, (uint32_t)count));
            if (count == 0)
                bytes = slice_from(bytes, subscriber->queue.offset);
            iov[count] = (struct iovec){(void *)bytes.p, bytes.n};
            total += bytes.n;
        }
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
        ssize_t sent = sendmsg(h2o_socket_get_fd(subscriber->sock), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
            subscriber_close(subscriber, errno == EPIPE || errno == ECONNRESET ? CLOSE_CLIENT : CLOSE_WRITE_ERROR);
            return;
        }
        if (sent > 0)
            account(subscriber, (size_t)sent);
        if (sent < (ssize_t)total) {
            wait_writable(subscriber);
            return;
        }
    }
}

/* The socket is readable, and h2o has read nothing: the client closed, or talks although it has nothing to say. */
static void on_plain_readable(h2o_socket_t *sock, const char *err)
{
    struct subscriber *subscriber = sock->data;
    char scratch[4096];
    ssize_t got = err != NULL ? 0 : recv(h2o_socket_get_fd(sock), scratch, sizeof(scratch), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        subscriber_close(subscriber, CLOSE_CLIENT);
        return;
    }
    subscriber->received += (uint32_t)got;
    if (subscriber->received > CLIENT_BYTES_MAX)
        subscriber_close(subscriber, CLOSE_CLIENT_DATA);
}

/* ---- TLS ---- */

/* One buffer a write, since h2o makes a record of its own of each. It encrypts before it returns, so the frames are done with at once. */
static void tls_flush(struct subscriber *subscriber)
{
    static _Thread_local char gathered[TLS_GATHER];
    h2o_iovec_t out = h2o_iovec_init(gathered, 0);
    uint32_t count = 0;
    for (; count < subscriber->queue.count; ++count) {
        struct slice bytes = wire_bytes(subscriber, subscriber_queued(subscriber, count));
        if (count == 0 && bytes.n > TLS_GATHER) {
            out = iovec_of_slice(bytes);
            ++count;
            break;
        }
        if (out.len + bytes.n > TLS_GATHER)
            break;
        memcpy(out.base + out.len, bytes.p, bytes.n);
        out.len += bytes.n;
    }
    if (out.len != 0) {
        subscriber->busy = true;
        h2o_socket_write(subscriber->sock, &out, 1, on_writable);
    }
    subscriber_written(subscriber, count, 0);
}

static void on_tls_readable(h2o_socket_t *sock, const char *err)
{
    struct subscriber *subscriber = sock->data;
    if (err != NULL) {
        subscriber_close(subscriber, CLOSE_CLIENT);
        return;
    }
    subscriber->received += (uint32_t)sock->input->size;
    h2o_buffer_consume(&sock->input, sock->input->size);
    if (subscriber->received > CLIENT_BYTES_MAX)
        subscriber_close(subscriber, CLOSE_CLIENT_DATA);
}

/* ---- opening and closing, both ---- */

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
    if (sock->ssl == NULL)
        h2o_socket_dont_read(sock, 1);
    h2o_socket_read_start(sock, sock->ssl == NULL ? on_plain_readable : on_tls_readable);
    subscriber_writable(subscriber);
}

static int http1_fd(const struct subscriber *subscriber)
{
    return subscriber->sock == NULL ? -1 : h2o_socket_get_fd(subscriber->sock);
}

static h2o_iovec_t make_head(h2o_req_t *req, bool chunked)
{
    static const char tail_chunked[] = "connection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n";
    static const char tail_close[] = "connection: close\r\n\r\n";
    static const char status[] = "HTTP/1.1 200 OK\r\ndate: ";
    h2o_timestamp_t now;
    h2o_get_timestamp(req->conn->ctx, &req->pool, &now);
    size_t room = sizeof(status) + sizeof(tail_chunked) + H2O_TIMESTR_RFC1123_LEN + 2;
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
    if (chunked)
        PUT(tail_chunked, sizeof(tail_chunked) - 1);
    else
        PUT(tail_close, sizeof(tail_close) - 1);
#undef PUT
    return h2o_iovec_init(head, (size_t)(p - head));
}

static void http1_open(h2o_req_t *req, struct subscriber *subscriber)
{
    subscriber->chunked = req->version >= 0x101;
    takeover(req, make_head(req, subscriber->chunked), on_taken_over, subscriber);
}

const struct transport transport_plain = {"http/1.1", http1_open, plain_flush, http1_close, http1_fd};
const struct transport transport_tls = {"http/1.1 over TLS", http1_open, tls_flush, http1_close, http1_fd};

int transport_direct_fd(const struct subscriber *subscriber)
{
    if (subscriber->transport != &transport_plain || !subscriber->chunked || subscriber->sock == NULL)
        return -1;
    return h2o_socket_get_fd(subscriber->sock);
}

const struct transport *transport_of(h2o_req_t *req)
{
    if (req->version >= 0x200)
        return &transport_h2;
    return req->conn->callbacks->get_socket(req->conn)->ssl == NULL ? &transport_plain : &transport_tls;
}
