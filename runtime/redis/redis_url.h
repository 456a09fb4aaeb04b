/* REDIS_URL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/net/tls.h"
#include "runtime/slice.h"

enum { REDIS_NODES_MAX = 8, REDIS_PLACE_MAX = REDIS_NODES_MAX * 264 + 136 };

struct redis_node {
    char host[256]; /* name or address, an IPv6 address without its brackets */
    uint16_t port;
};

/* The login; "" where there is none. */
struct redis_login {
    char user[128];
    char password[512];
};

struct redis_url {
    enum { REDIS_TCP, REDIS_UNIX, REDIS_SENTINEL, REDIS_CLUSTER } kind;
    struct redis_node
        nodes[REDIS_NODES_MAX]; /* TCP: the one Redis; sentinel: the sentinels; cluster: those of its nodes that are asked first */
    size_t node_count;
    char path[108]; /* unix: the socket */
    char name[128]; /* sentinel: what the sentinels call the primary with its replicas */
    struct redis_login login;
    struct redis_login sentinel_login; /* to the sentinels, where it differs: of redis_url_parse_login() */
    int db;
    bool secure; /* rediss: TLS, and then the owner sets: */
    SSL_CTX *tls; /* see redis_tls.h; may be replaced at any time on the connections' thread */
};

/* Reads redis://[[user]:password@]host[:port][/db], unix://[[user]:password@]/path/to.sock[?db=N], redis-sentinel://[[user]:password@]host[:port],…/name[/db]
 * with at most REDIS_NODES_MAX sentinels, redis-cluster://[[user]:password@]host[:port],… with as many nodes, and with TLS rediss://, rediss-sentinel:// and
 * rediss-cluster://; user and password are percent-decoded. NULL, or a static sentence that does not repeat the URL (it may hold a password). */
const char *redis_url_parse(struct redis_url *out, const char *text);

/* Reads "password" or "user:password", percent-encoded as in the URL. NULL or a static sentence, as above. */
const char *redis_url_parse_login(struct redis_login *out, const char *text);

/* Both, of the settings REDIS_URL and REDIS_SENTINEL_PASSWORD ("" where it is not set). Pub/sub knows no databases, so one other than 0 is for a deployment whose
 * names are its own (a REDIS_PREFIX other than the default). NULL or a static sentence that names the setting. */
const char *redis_url_load(struct redis_url *out, const char *url, const char *sentinel_password, bool own_names);

/* "host:port", the path, "host:port,host:port/name" or "host:port,host:port", for logs: no user, no password. Writes at most n bytes with a NUL; returns `out`. */
char *redis_url_place(char *out, size_t n, const struct redis_url *url);

/* The same of one node, or of the socket where there is none. */
char *redis_node_place(char *out, size_t n, const struct redis_url *url, const struct redis_node *node);

bool redis_node_eq(const struct redis_node *a, const struct redis_node *b);

/* What a sentinel or a cluster answered: false where it is no host and port. */
bool redis_node_read(struct redis_node *out, struct slice host, struct slice port);
