#include "gateway/stream/transport.h"

#include "gateway/stream/subscriber.h"
#include "gateway/stream_log.h"
#include "runtime/h2o/h2_write.h"

enum { BATCH_FRAMES = 16 /* queued frames in one h2o_send() */ };

/* One stream of an HTTP/2 connection. Lives in the request's pool and dies with it, which is how we learn that the request is gone. */
struct h2_stream {
    h2o_generator_t super;
    struct subscriber *subscriber;
    h2o_req_t *req;
    uint32_t in_flight; /* frames at the queue's front that h2o is sending */
};

/* What leaves with this turn of the loop. */
static void write_now(struct subscriber *subscriber)
{
    h2o_req_t *req = subscriber->h2->req;
    for (struct frame *frame; subscriber->queue.count != 0; subscriber_written(subscriber, 1, 0)) {
        frame = frames_at(&subscriber->queue, 0);
        if (frame->body == 0 || !h2_write_data(req, frame_body(frame)))
            break;
    }
}

/* What waits for its client. */
static void write_later(struct subscriber *subscriber)
{
    struct h2_stream *stream = subscriber->h2;
    h2o_iovec_t bufs[BATCH_FRAMES];
    uint32_t count = 0, filled = 0;
    for (; count < BATCH_FRAMES && count < subscriber->queue.count; ++count) {
        bufs[filled] = iovec_of_slice(frame_body(frames_at(&subscriber->queue, count)));
        filled += bufs[filled].len != 0;
    }
    if (filled == 0) { /* only the end of an HTTP/1.1 body */
        subscriber_written(subscriber, count, 0);
        return;
    }
    stream->in_flight = count;
    subscriber->busy = true;
    h2o_send(stream->req, bufs, filled, H2O_SEND_STATE_IN_PROGRESS);
}

static void h2_flush(struct subscriber *subscriber)
{
    write_now(subscriber);
    if (subscriber->queue.count != 0)
        write_later(subscriber);
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    struct h2_stream *stream = H2O_STRUCT_FROM_MEMBER(struct h2_stream, super, generator);
    struct subscriber *subscriber = stream->subscriber;
    uint32_t sent = stream->in_flight;
    (void)req;
    stream->in_flight = 0;
    if (subscriber->state >= SUBSCRIBER_CLOSED)
        return;
    subscriber_written(subscriber, sent, 0);
    subscriber_writable(subscriber);
}

/* The request is gone: the client closed the stream or the connection, or we ended it. */
static void on_gone(void *data)
{
    struct h2_stream *stream = data;
    struct subscriber *subscriber = stream->subscriber;
    stream_log_bytes(subscriber->log, stream->req->bytes_sent);
    subscriber->h2 = NULL;
    subscriber_detach(subscriber);
}

static void h2_close(struct subscriber *subscriber, bool written)
{
    if (subscriber->h2 == NULL)
        return;
    stream_log_bytes(subscriber->log, subscriber->h2->req->bytes_sent);
    if (written)
        h2o_send(subscriber->h2->req, NULL, 0, H2O_SEND_STATE_FINAL);
    else
        h2_write_reset(subscriber->h2->req);
}

static int h2_fd(const struct subscriber *subscriber)
{
    if (subscriber->h2 == NULL)
        return -1;
    h2o_conn_t *conn = subscriber->h2->req->conn;
    return h2o_socket_get_fd(conn->callbacks->get_socket(conn));
}

static void h2_open(h2o_req_t *req, struct subscriber *subscriber)
{
    struct h2_stream *stream = h2o_mem_alloc_shared(&req->pool, sizeof(*stream), on_gone);
    *stream = (struct h2_stream){.super = {on_proceed, NULL}, .subscriber = subscriber, .req = req};
    subscriber->h2 = stream;
    req->res.status = 200;
    req->res.reason = "OK";
    h2o_iovec_t comment = iovec_of_slice(frame_body(comment_frame()));
    h2o_start_response(req, &stream->super);
    h2o_send(req, &comment, 1, H2O_SEND_STATE_IN_PROGRESS);
}

static int h2_direct(const struct subscriber *subscriber)
{
    (void)subscriber;
    return TRANSPORT_QUEUE;
}

static const void *h2_connection(const struct subscriber *subscriber)
{
    return subscriber->h2 != NULL ? subscriber->h2->req->conn : NULL;
}

static void h2_prefetch(const struct subscriber *subscriber)
{
    if (subscriber->h2 != NULL)
        h2_write_prefetch(subscriber->h2->req);
}

const struct transport transport_h2 = {
    .name = "http/2",
    .open = h2_open,
    .flush = h2_flush,
    .close = h2_close,
    .fd = h2_fd,
    .direct = h2_direct,
    .connection = h2_connection,
    .prefetch = h2_prefetch,
};
