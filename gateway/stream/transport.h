/* The three ends a stream may have: a plain HTTP/1.1 socket, the same over TLS, one stream of an HTTP/2 connection. Worker thread only. */
#pragma once

#include "gateway/stream/subscriber.h"

extern const struct transport transport_plain, transport_tls, transport_h2;

/* The one for this request. */
const struct transport *transport_of(h2o_req_t *req);

/* How the fan-out may write to a stream: straight to the descriptor that transport_direct() gives, or by transport_send(), or only through the queue. */
enum { TRANSPORT_QUEUE = -1, TRANSPORT_SEND = -2 };
int transport_direct(const struct subscriber *subscriber);

/* Writes the frame at once; true when all of it is out. What the socket does not take goes through the queue, or closes the stream. */
bool transport_send(struct subscriber *subscriber, struct frame *frame);

/* The same once send(2) of the frame's chunk gave `sent` (errno with -1). */
bool transport_sent(struct subscriber *subscriber, struct frame *frame, ssize_t sent);

/* What it shares with other streams and is written once for all of them: only to be compared. NULL when it has a connection of its own. */
const void *transport_connection(const struct subscriber *subscriber);

/* Brings what h2_flush() will read of a stream into the cache, for a fan-out that will come to it soon: once far ahead, once nearer, when the pointers that the
 * second step follows have arrived. No more than a hint. */
enum transport_ahead { TRANSPORT_FAR, TRANSPORT_NEAR };
void transport_prefetch(const struct subscriber *subscriber, enum transport_ahead ahead);
