/* What carries a stream: a plain HTTP/1.1 socket, the same over TLS, one stream of an HTTP/2 connection, or one JSON answer (poll.h); one const table each. Worker thread only. */
#pragma once

#include <errno.h>

#include "gateway/frame.h"
#include "runtime/h2o.h"

struct subscriber;

/* What direct() gives where there is no descriptor to write to. */
enum { TRANSPORT_QUEUE = -1, TRANSPORT_SEND = -2 };

struct transport {
    const char *name;
    /* Sends the response head, status 200 with the request's response headers and a comment as the first bytes of the body: a proxy passes the head on with
     * them, and a browser fires `open` then. Gives the stream to the subscriber; subscriber_writable() follows, later. On HTTP/1.1 the socket is taken over from
     * libh2o, so that a stream costs a few hundred bytes and not libh2o's whole request. */
    void (*open)(h2o_req_t *req, struct subscriber *subscriber);
    /* Writes what the queue holds as far as the peer takes it, and sets `busy` when it must wait. Called only when not busy. */
    void (*flush)(struct subscriber *subscriber);
    /* Sets `busy`, and has subscriber_writable() called when the peer takes bytes, in a later turn of the loop: of such streams a turn writes few. NULL where direct() always
     * gives TRANSPORT_QUEUE. */
    void (*wait)(struct subscriber *subscriber);
    /* The stream is over: lets go of the socket or request and calls subscriber_detach(), now or when libh2o has let go. `written`: all that was queued is
     * out, so the protocol's own end can be sent; else the stream is cut. */
    void (*close)(struct subscriber *subscriber, bool written);
    /* The connection's descriptor; -1 before it is open and after it was closed. */
    int (*fd)(const struct subscriber *subscriber);
    /* How the fan-out writes to a stream that is live and waits for nothing: by send(2) of a frame's chunk to the descriptor this gives, by send() below
     * (TRANSPORT_SEND), or only through the queue (TRANSPORT_QUEUE). */
    int (*direct)(const struct subscriber *subscriber);
    /* Writes the frame past the empty queue; true when all of it is out, see subscriber_sent(). NULL where direct() never gives TRANSPORT_SEND. */
    bool (*send)(struct subscriber *subscriber, struct frame *frame);
    /* The connection that it shares with other streams and that is written once for all of them: only to be compared. NULL when it has its own. */
    const void *(*connection)(const struct subscriber *subscriber);
    /* A hint: brings into the cache what flush() will read behind the transport's pointer, which has arrived there already. */
    void (*prefetch)(const struct subscriber *subscriber);
};

extern const struct transport transport_plain, transport_tls, transport_h2, transport_poll;

/* True for an errno after which a write or read is tried again later. */
static inline bool transport_would_block(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR || error == ENOBUFS;
}
