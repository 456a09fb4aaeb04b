#include "gateway/stream/wire.h"
#include "runtime/net/listener.h"
#include "runtime/net/tls_wire.h"

enum { GATHER_BYTES = 65536 /* of queued frames made into one run of TLS records */ };

static SSL *session(const struct subscriber *subscriber)
{
    return listener_tls(subscriber->sock);
}

static ssize_t tls_send(struct subscriber *subscriber, struct slice bytes)
{
    return tls_wire_send(session(subscriber), bytes.p, bytes.n);
}

/* A write that OpenSSL took up but could not finish must be repeated with bytes that begin with the same ones: the queue's front, gathered again, does. */
static ssize_t tls_flush(struct subscriber *subscriber, size_t *wanted)
{
    static _Thread_local char gathered[GATHER_BYTES];
    size_t filled = 0;
    *wanted = 0;
    for (uint32_t i = 0; i < subscriber->queue.count && filled != GATHER_BYTES; ++i) {
        struct slice bytes = wire_bytes(subscriber, subscriber_queued(subscriber, i));
        if (i == 0)
            bytes = slice_from(bytes, subscriber->queue.offset);
        size_t part = bytes.n < GATHER_BYTES - filled ? bytes.n : GATHER_BYTES - filled;
        memcpy(gathered + filled, bytes.p, part);
        filled += part;
    }
    *wanted = filled;
    return tls_wire_send(session(subscriber), gathered, filled);
}

static ssize_t tls_drain(struct subscriber *subscriber)
{
    return tls_wire_drain(session(subscriber));
}

bool wire_adopt_tls(struct subscriber *subscriber)
{
    SSL *tls = session(subscriber);
    return tls != NULL && tls_wire_adopt(tls, h2o_socket_get_fd(subscriber->sock));
}

const struct wire wire_tls = {tls_send, tls_flush, tls_drain};
