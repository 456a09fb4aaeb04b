/* One attempt to reach a Redis: looks its name up, off the loop, then tries the addresses one after the other, with the TLS handshake for rediss://. One loop's
 * thread. */
#pragma once

#include "runtime/h2o.h"
#include "runtime/redis/redis_url.h"

enum { DIAL_ADDRESSES_MAX = 8 };

struct dial {
    h2o_loop_t *loop;
    h2o_multithread_receiver_t *getaddr;
    const struct redis_url *url; /* its TLS, and its socket where there is no node */
    /* Called once for each start that is not cancelled, perhaps before dial_start() returns: a connected socket, which is the callee's
     * now, or NULL and a sentence why not, which stands until the next start. */
    void (*on_done)(void *data, h2o_socket_t *sock, const char *why);
    void *data;
    /* the rest is the attempt's own; starts zeroed */
    struct redis_node node;
    h2o_hostinfo_getaddr_req_t *lookup;
    h2o_socket_t *sock;
    struct sockaddr_storage addresses[DIAL_ADDRESSES_MAX];
    socklen_t lengths[DIAL_ADDRESSES_MAX];
    size_t count, tried;
    bool handshaking; /* in the TLS handshake */
    char why[160];
    size_t first; /* moves on with each attempt, so that an address that swallows everything doesn't hide the others */
};

/* One at a time. The node is copied; NULL: the socket of the URL. */
void dial_start(struct dial *dial, const struct redis_node *node);
void dial_cancel(struct dial *dial);

/* A static sentence for one that takes too long. */
const char *dial_late(const struct dial *dial);
