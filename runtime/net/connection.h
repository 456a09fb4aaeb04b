/* What is kept of each connection that a listener accepted, from then until its socket closes: through TLS, HTTP/2 and a takeover. Its worker's thread. */
#pragma once

#include <openssl/ssl.h>

#include "runtime/h2o.h"

struct h1_pace;
struct h2_guard;
struct limits_place;

/* Of the 100 requests libh2o takes at once on an HTTP/2 connection, this many may be streams: the rest stays free for POSTs. */
enum { CONNECTION_STREAMS_MAX = 90 };

struct connection_owner {
    uint32_t user_timeout_ms; /* TCP_USER_TIMEOUT of its connections */
    void (*on_closed)(struct connection_owner *owner); /* the record is freed already */
};

struct connection {
    struct connection_owner *owner;
    SSL *tls; /* its session once the handshake is done, which libh2o keeps to itself; the socket's. NULL on a plain one */
    uint64_t key_updates_ms; /* see connection_takes_key_update() */
    struct h2_guard *guard; /* of h2_guard.c; malloc'd, and freed with the record */
    struct h1_pace *h1_pace; /* of h1_pace.c; NULL unless it has waited */
    struct limits_place *place; /* … of the stream it is, or NULL; left when it closes */
    uint32_t streams; /* HTTP/2: requests that are open and are streams */
    uint32_t watched; /* of turn.c: the events that its loop waits for */
    bool unread; /* … although the library asked for none: it reads again soon, or something comes meanwhile and it is taken out */
    bool taken_over; /* HTTP/1.1: it is a stream from now on, and nothing else */
};

/* Makes the record of a socket that was just accepted, zeroed. */
void connection_open(h2o_socket_t *sock, struct connection_owner *owner);

/* The record of this socket; NULL when no listener accepted it. */
struct connection *connection_of(h2o_socket_t *sock);

static inline struct connection *connection_of_request(h2o_req_t *req)
{
    return connection_of(req->conn->callbacks->get_socket(req->conn));
}

/* A client asked for new keys (RFC 8446 section 4.6.3), which costs more than a record of data: false when it does so too often. */
bool connection_takes_key_update(struct connection *connection);
