/* Listening sockets. One descriptor per address, shared by all workers of the process (dup'd), so no connection is lost in the queue
 * of a worker that stops. */
#pragma once

#include <openssl/ssl.h>

#include "runtime/h2o.h"

struct h1_pace;
struct h2_guard;
struct proxies;
struct listener; /* one worker's end of one listening socket; lives on that worker's loop */

/* Binds and listens on host ("" is every address, IPv6 and IPv4 where the machine has both) and port (0: one the kernel picks). Returns
 * the descriptor, or -1 and *error, a sentence in a static buffer ("port 4043 is in use"). *bound is the real port. */
int listener_bind(const char *host, int port, int *bound, const char **error);

/* NULL when `host` names an address, or a sentence in a static buffer that begins with the setting. What a start would find out only when
 * it binds, after which a check of the settings of a running program would fail. */
const char *listener_check_host(const char *setting, const char *host);

/* What every accepted connection gets and counts against. */
struct listener_options {
    h2o_accept_ctx_t *accept; /* ctx, hosts and, for TLS, ssl_ctx; borrowed for the listener's life */
    const char *name; /* for the log; may be NULL */
    size_t total; /* for the log: max_connections of all ends of the socket together */
    size_t max_connections; /* of this listener; at the cap accepting stops and resumes on a close, so EMFILE can't spin the loop */
    uint32_t user_timeout_ms; /* TCP_USER_TIMEOUT: unacknowledged data or a closed window this long abort the connection; 0: 30 s */
    size_t per_connection; /* bytes of zeroed memory, aligned for pointers, for listener_connection(); 0 for none */
    const struct proxies *proxies; /* connections from these begin with a PROXY header; NULL: none does */
    void (*on_open)(void *data); /* may be NULL: a connection was accepted */
    void (*on_close)(void *data); /* may be NULL: … and is gone */
    void (*on_bad_proxy)(void *data); /* may be NULL: … and will be closed: its PROXY header is wrong, or did not come */
    void (*dispose)(void *memory); /* may be NULL: the last chance to look at a connection's memory */
    void *data;
};

/* Accepts on a dup of fd from the loop of options->accept->ctx. Sets TCP_NODELAY, TCP_NOTSENT_LOWAT and TCP_USER_TIMEOUT on each. */
struct listener *listener_start(int fd, const struct listener_options *options);

/* Closes the listening end; open connections go on. */
void listener_stop(struct listener *listener);

/* The TLS session of an accepted connection once its handshake is done, which libh2o itself keeps to itself; owned by the socket. NULL on a plain one. tls.c
 * says which it is. */
SSL *listener_tls(h2o_socket_t *sock);
void listener_set_tls(h2o_socket_t *sock, SSL *tls);

/* A client of an accepted connection asked for new keys (RFC 8446 section 4.6.3), which costs more than a record of data: false when
 * it does so too often. */
bool listener_takes_key_update(h2o_socket_t *sock);

/* The per-connection memory of the connection that carries this request or is this socket; freed when the socket closes. */
void *listener_connection(h2o_socket_t *sock);

/* Where h2_guard keeps what it knows of an accepted connection; freed with it by h2_guard_free(). NULL when the socket was not accepted by a listener. */
struct h2_guard **listener_guard(h2o_socket_t *sock);

/* Where h1_pace keeps an accepted connection that waits. NULL when the socket was not accepted by a listener. */
struct h1_pace **listener_h1_pace(h2o_socket_t *sock);

/* listener_options.user_timeout_ms, or what stands for 0, of the listener that accepted the connection. */
uint32_t listener_user_timeout_ms(h2o_socket_t *sock);
