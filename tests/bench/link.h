/* One client connection, plain or TLS, without blocking. All links of the process share one read buffer: what a link has is taken
 * out before another one is touched. A link must not move in memory while it is open. */
#pragma once

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum link_state { LINK_CLOSED, LINK_CONNECTING, LINK_HANDSHAKE, LINK_OPEN };

/* Zeroed is closed. */
struct link {
    int fd;
    uint8_t state;
    bool more, ending; /* something may be there to read; the peer says that no more comes after it */
    SSL *ssl; /* owned; NULL: plain */
    char *out; /* owned; what the socket did not take */
    size_t out_n;
    const char *in; /* TLS: bytes of the socket that were not decoded yet, in the shared buffer */
    size_t in_n;
};

enum link_got {
    LINK_NOTHING, /* until the next event of its descriptor */
    LINK_READY, /* connected, after its handshake: now it may be written to */
    LINK_BYTES, /* *n bytes at *p, valid until the next call */
    LINK_BROKEN, /* *p says why */
};

/* Trusts any certificate. Once in a process. */
SSL_CTX *link_tls(const char *alpn);

/* Connects, from 127.0.0.(1 + source) if `to` is in 127/8 and `source` is not 0, and adds the descriptor to `epoll`,
 * edge-triggered, with `data`. NULL, or why not. */
const char *link_connect(struct link *link, const struct sockaddr_in *to, unsigned source, SSL_CTX *tls, int epoll, void *data);

/* Tells what epoll said; link_next() is called until NOTHING or BROKEN after it. */
void link_event(struct link *link, uint32_t events);
enum link_got link_next(struct link *link, const char **p, size_t *n);

/* Sends or keeps all of it. False when the connection is broken. */
bool link_write(struct link *link, const void *p, size_t n);

/* The protocol that ALPN chose is this one. */
bool link_speaks(const struct link *link, const char *protocol);

/* Any number of times. */
void link_close(struct link *link);
