#include <sys/socket.h>

#include "gateway/stream/wire.h"

enum { BATCH_FRAMES = 64 /* queued frames in one sendmsg(2) */ };

static ssize_t plain_send(struct subscriber *subscriber, struct slice bytes)
{
    return send(h2o_socket_get_fd(subscriber->sock), bytes.p, bytes.n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static ssize_t plain_flush(struct subscriber *subscriber, size_t *wanted)
{
    struct iovec iov[BATCH_FRAMES];
    size_t count = 0;
    *wanted = 0;
    for (; count < BATCH_FRAMES && count < subscriber->queue.count; ++count) {
        struct slice bytes = wire_bytes(subscriber, subscriber_queued(subscriber, (uint32_t)count));
        if (count == 0)
            bytes = slice_from(bytes, subscriber->queue.offset);
        iov[count] = (struct iovec){(void *)bytes.p, bytes.n};
        *wanted += bytes.n;
    }
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
    return sendmsg(h2o_socket_get_fd(subscriber->sock), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static ssize_t plain_drain(struct subscriber *subscriber)
{
    char scratch[4096];
    return recv(h2o_socket_get_fd(subscriber->sock), scratch, sizeof(scratch), MSG_DONTWAIT);
}

const struct wire wire_plain = {plain_send, plain_flush, plain_drain};
