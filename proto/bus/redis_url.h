/* REDIS_URL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/tls.h"

struct redis_url {
    enum { REDIS_TCP, REDIS_UNIX } transport;
    char host[256]; /* TCP: name or address, an IPv6 address without its brackets */
    uint16_t port;
    char path[108]; /* unix: the socket */
    char user[128]; /* "" when none */
    char password[512]; /* "" when none */
    int db;
    bool secure; /* rediss: TLS, and then the owner sets: */
    SSL_CTX *tls; /* the context of tls_client() for `host`; may be replaced at any time on the connection's thread */
};

/* Reads redis://[[user]:password@]host[:port][/db], the same with rediss://, and unix://[[user]:password@]/path/to.sock[?db=N]; user and password are
 * percent-decoded. NULL, or a static sentence that does not repeat the URL (it may hold a password). */
const char *redis_url_parse(struct redis_url *out, const char *text);

/* "host:port" or the path, for logs: no user, no password. Writes at most n bytes with a NUL; returns `out`. */
char *redis_url_place(char *out, size_t n, const struct redis_url *url);
