/* Listening sockets. One descriptor per address, shared by all workers of the process (dup'd), so no connection is lost in the queue
 * of a worker that stops. */
#pragma once

#include "runtime/h2o.h"

struct proxies;
struct listener; /* one worker's end of one listening socket; lives on that worker's loop */

/* Binds and listens on host ("" is every address, IPv6 and IPv4 where the machine has both) and port (0: one the kernel picks). Returns
 * the descriptor, or -1 and *error, a sentence in a static buffer ("port 4043 is in use"). *bound is the real port. */
int listener_bind(const char *host, int port, int *bound, const char **error);

/* NULL when `host` names an address, or a sentence in a static buffer that begins with the setting. What a start would find out only when
 * it binds, after which a check of the settings of a running program would fail. */
const char *listener_check_host(const char *setting, const char *host);

/* Whether two listeners on the same port, at these hosts as listener_bind() takes them, could want the same address. */
bool listener_hosts_meet(const char *host, const char *other);

enum listener_event {
    LISTENER_OPENED, /* a connection was accepted */
    LISTENER_CLOSED, /* … and is gone */
    LISTENER_BAD_PROXY, /* … and will be closed: its PROXY header is wrong, or did not come */
};

/* What every accepted connection gets and counts against; see connection.h for what is kept of it. */
struct listener_options {
    h2o_accept_ctx_t *accept; /* ctx, hosts and, for TLS, ssl_ctx; borrowed for the listener's life */
    const char *name; /* for the log; may be NULL */
    size_t total; /* for the log: max_connections of all ends of the socket together */
    size_t max_connections; /* of this listener; at the cap accepting stops and resumes on a close, so EMFILE can't spin the loop */
    uint32_t user_timeout_ms; /* TCP_USER_TIMEOUT: unacknowledged data or a closed window this long abort the connection; 0: 30 s */
    const struct proxies *proxies; /* connections from these begin with a PROXY header; NULL: none does */
    void (*on_event)(void *data, enum listener_event event); /* may be NULL */
    void *data;
};

/* Accepts on a dup of fd from the loop of options->accept->ctx. Sets TCP_NODELAY, TCP_NOTSENT_LOWAT and TCP_USER_TIMEOUT on each. */
struct listener *listener_start(int fd, const struct listener_options *options);

/* Closes the listening end; open connections go on. */
void listener_stop(struct listener *listener);
