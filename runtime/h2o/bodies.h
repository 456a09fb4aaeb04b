/* One bound for all requests that are being received. libh2o keeps a request in a buffer of its connection until the last byte of its body is there, and until it was answered: a
 * bound for each says nothing of a thousand of them. So what these buffers take is counted, in sum and for each client address, and a buffer does not grow above either bound.
 *
 * A request that says how long it is gets 503 or 429 before its body is received, or over HTTP/2 in the place of it; what grows into the bound later loses its connection, or over
 * HTTP/2 its stream (over TLS the connection, where no room is left to read frames). Over HTTP/2 what the head tells is kept for it in its address's share. Buffers up to 32 KiB may take a quarter more, so that small requests, and the frames of others, still come
 * through. A request of 4 KiB, head and all, is never refused. What was received and waits for an answer counts, too. */
#pragma once

#include "runtime/metrics.h"
#include "runtime/net/proxies.h"

enum {
    BODIES_FIRST_BYTES = 4096, /* of a connection's first buffer */
    BODIES_FREE_BYTES = 8192, /* a buffer that is not larger is not counted, and never refused */
};

/* Rows of a metrics table, from row `first` on. */
enum bodies_row { BODIES_REFUSED, BODIES_REFUSED_ADDRESS, BODIES_BYTES, BODIES_ROWS_COUNT };
#define BODIES_ROWS(first)                                                                                            \
    [(first) + BODIES_REFUSED] = {"sse_bodies_refused_total", "reason=\"limit\"", METRIC_COUNTER,                     \
                                  "requests refused since all that are being received take BODIES_LIMIT, by reason"}, \
               [(first) + BODIES_REFUSED_ADDRESS] = {"sse_bodies_refused_total", "reason=\"limit of the address\"",   \
                                                     METRIC_COUNTER,                                                  \
                                                     "requests refused since all that are being received take "       \
                                                     "BODIES_LIMIT, by reason"},                                      \
               [(first) + BODIES_BYTES] = {"sse_bodies_bytes", NULL, METRIC_GAUGE, "bytes of requests being received"}

/* NULL, or the sentence about settings that don't go together. */
const char *bodies_check(int64_t limit, int64_t body_limit);

/* Before the first connection. The addresses of `proxies` (borrowed) stand for many clients and have no share of their own. */
void bodies_start(size_t limit, const struct proxies *proxies, size_t first_row);

/* The input of a connection that was just accepted is counted from here on. Does nothing before bodies_start(). */
void bodies_own(h2o_socket_t *sock);

/* A request's head of so many bytes was read over HTTP/1: whether a body of this length may come, SIZE_MAX where it is not told. False: it was counted, and the library's
 * next error for this request is to be the refusal, see bodies_refusal(). A body above
 * BODY_LIMIT is the library's to refuse. */
bool bodies_admit(h2o_req_t *req, size_t head, size_t length);

/* A request's head was read over HTTP/2, which tells the length of its body: room is kept for it until the request is gone. `slot` is where the library keeps the body, of which there is
 * nothing yet. False: it was counted, what comes of the body is dropped, and bodies_refusal() is the answer; for the library its length must be unknown then. */
bool bodies_expect(h2o_req_t *req, h2o_buffer_t **slot, size_t length);

/* The sentence and the status, in the place of an error of the library, and of all that a handler would do, if this request was refused; else NULL. */
const char *bodies_refusal(h2o_req_t *req, int *status);

/* A DATA frame for a stream of this HTTP/2 connection is about to be taken; its _req_body is `slot`. */
void bodies_on_data(h2o_socket_t *sock, h2o_buffer_t **slot);

/* Frees what came of a body that is refused; false where it is not. */
bool bodies_drop(h2o_buffer_t **slot);
