/* TLS: the contexts that listeners answer with and that we dial with. */
#pragma once

#include <openssl/ssl.h>

/* A PEM file and the setting that names it, for the sentences; a path of "" is no file. */
struct tls_file {
    const char *setting, *path;
};

struct tls_server_files {
    struct tls_file cert, key;
    struct tls_file client_ca; /* every client must have a certificate of one of these; then no session is resumed */
    struct tls_file ticket_keys; /* see tls_ticket.h */
};

/* A server context: TLS 1.2 and 1.3, ALPN h2 and http/1.1, buffers released when idle; struct connection has its sessions. NULL and *error (a sentence in a
 * static buffer that begins with the setting) when the files can't be used. The caller owns the context. */
SSL_CTX *tls_server(const struct tls_server_files *files, const char **error);

struct tls_client_files {
    struct tls_file ca; /* CA certificates that verify the server; none: the system's */
    struct tls_file cert, key; /* what we show; none: nothing */
};

/* A client context for the one server `host`, a name or an address, which its certificate must be for. As tls_server() else. libh2o's own check of the name is not
 * relied on: it leaves out all of TLS 1.3 and knows no addresses. */
SSL_CTX *tls_client(const struct tls_client_files *files, const char *host, const char **error);

/* From now on tls_client_alert() is what the server last refused one of this context's sessions with ("certificate required"), a static text; NULL: nothing. One thread. */
void tls_client_watch(SSL_CTX *client);
const char *tls_client_alert(SSL_CTX *client);

/* Instead: a line in the log for each session that either end refuses, at most one a second. For connections that libh2o's proxy makes. Any thread. */
void tls_client_log(SSL_CTX *client);

/* The context of a listener over its reloads, one thread. libh2o makes a session of the context that its connection was accepted with, but only when the client's first bytes
 * come: a replaced context stays for longer than a connection may be silent. */
struct tls_slot {
    SSL_CTX *ctx;
    struct tls_retired *retired;
};

/* Takes the caller's reference; the slot's memory starts zeroed. */
void tls_slot_set(struct tls_slot *slot, SSL_CTX *ctx);
