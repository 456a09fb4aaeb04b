/* Reading and writing on an HTTP/1.1 socket that was taken over: plain, or through its TLS session without libh2o in between (which would copy each
 * record and call back for each write). Never blocks. All follow send(2): bytes, or -1 and errno; EAGAIN: later, and for TLS only with bytes that begin
 * with the same ones. Worker thread only. */
#pragma once

#include "gateway/stream/subscriber.h"

struct wire {
    ssize_t (*send)(struct subscriber *subscriber, struct slice bytes);
    /* Writes what stands at the queue's front, many frames at once, and says in *wanted how many bytes those were. */
    ssize_t (*flush)(struct subscriber *subscriber, size_t *wanted);
    /* Reads and forgets; how much it was, 0 at the end of the connection. */
    ssize_t (*drain)(struct subscriber *subscriber);
};

extern const struct wire wire_plain, wire_tls;

/* Takes the session from libh2o: from now on it reads and writes the socket itself. False when it can't be done; the connection is then useless. */
bool wire_adopt_tls(struct subscriber *subscriber);

/* The queued frame's bytes as they go onto the socket. */
static inline struct slice wire_bytes(const struct subscriber *subscriber, const struct frame *frame)
{
    return subscriber->chunked ? frame_chunk(frame) : frame_body(frame);
}
