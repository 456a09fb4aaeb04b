#include "tests/bench/link.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/bench.h"

enum { RECORD_MAX = 16384 };

static char socket_bytes[65536], record_bytes[RECORD_MAX];
static BIO_METHOD *bio_method;

static bool keep(struct link *link, const char *p, size_t n)
{
    if ((link->out = realloc(link->out, link->out_n + n)) == NULL)
        bench_fail("no memory");
    memcpy(link->out + link->out_n, p, n);
    link->out_n += n;
    return true;
}

static bool send_or_keep(struct link *link, const char *p, size_t n)
{
    if (link->out_n != 0)
        return keep(link, p, n);
    ssize_t sent = send(link->fd, p, n, MSG_NOSIGNAL);
    if (sent == (ssize_t)n)
        return true;
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        return false;
    size_t done = sent < 0 ? 0 : (size_t)sent;
    return keep(link, p + done, n - done);
}

/* A broken connection shows when it is read. */
static void flush(struct link *link)
{
    if (link->out_n == 0)
        return;
    ssize_t sent = send(link->fd, link->out, link->out_n, MSG_NOSIGNAL);
    if (sent <= 0)
        return;
    link->out_n -= (size_t)sent;
    memmove(link->out, link->out + sent, link->out_n);
    if (link->out_n == 0) {
        free(link->out);
        link->out = NULL;
    }
}

/* OpenSSL's side of a link: it reads what link_next() took from the socket. */

static int on_bio_write(BIO *bio, const char *p, int n)
{
    return send_or_keep(BIO_get_data(bio), p, (size_t)n) ? n : -1;
}

static int on_bio_read(BIO *bio, char *p, int n)
{
    struct link *link = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (link->in_n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t taken = link->in_n < (size_t)n ? link->in_n : (size_t)n;
    memcpy(p, link->in, taken);
    link->in += taken;
    link->in_n -= taken;
    return (int)taken;
}

static long on_bio_ctrl(BIO *bio, int command, long number, void *p)
{
    (void)bio, (void)number, (void)p;
    return command == BIO_CTRL_FLUSH;
}

SSL_CTX *link_tls(const char *alpn)
{
    unsigned char protocols[16] = {(unsigned char)strlen(alpn)};
    memcpy(protocols + 1, alpn, protocols[0]);
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "link");
    if (tls == NULL || bio_method == NULL || SSL_CTX_set_alpn_protos(tls, protocols, protocols[0] + 1u) != 0)
        bench_fail("OpenSSL: %s", ERR_reason_error_string(ERR_get_error()));
    BIO_meth_set_write(bio_method, on_bio_write);
    BIO_meth_set_read(bio_method, on_bio_read);
    BIO_meth_set_ctrl(bio_method, on_bio_ctrl);
    SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    return tls;
}

static void add_tls(struct link *link, SSL_CTX *tls)
{
    BIO *bio = BIO_new(bio_method);
    link->ssl = SSL_new(tls);
    if (bio == NULL || link->ssl == NULL)
        bench_fail("no memory");
    BIO_set_data(bio, link);
    BIO_set_init(bio, 1);
    SSL_set_bio(link->ssl, bio, bio);
    SSL_set_connect_state(link->ssl);
}

/* The port is chosen by connect(2), so that each source address has all ports for each destination. */
static bool bind_source(int fd, const struct sockaddr_in *to, unsigned source)
{
    if (source == 0 || ntohl(to->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
        return true;
    int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + source)};
    return setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) == 0 &&
           bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0;
}

const char *link_connect(struct link *link, const struct sockaddr_in *to, unsigned source, SSL_CTX *tls, int epoll, void *data)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = data};
    *link = (struct link){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (link->fd < 0)
        return strerror(errno);
    link->state = LINK_CONNECTING;
    bool good = bind_source(link->fd, to, source) &&
                (connect(link->fd, (const struct sockaddr *)to, sizeof(*to)) == 0 || errno == EINPROGRESS) &&
                epoll_ctl(epoll, EPOLL_CTL_ADD, link->fd, &event) == 0;
    if (!good) {
        const char *reason = strerror(errno);
        link_close(link);
        return reason;
    }
    if (tls != NULL)
        add_tls(link, tls);
    return NULL;
}

void link_event(struct link *link, uint32_t events)
{
    if (link->state == LINK_CLOSED)
        return;
    if (link->state == LINK_CONNECTING && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0)
        return;
    link->ending = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    link->more = link->ending || (events & EPOLLIN) != 0 || link->state == LINK_CONNECTING;
    if ((events & EPOLLOUT) != 0)
        flush(link);
}

/* Edge-triggered: a short read means that nothing is left, unless the end is near. */
static enum link_got receive(struct link *link, const char **p, size_t *n)
{
    if (!link->more)
        return LINK_NOTHING;
    ssize_t got = recv(link->fd, socket_bytes, sizeof(socket_bytes), 0);
    if (got > 0) {
        link->more = got == sizeof(socket_bytes) || link->ending;
        *p = socket_bytes;
        *n = (size_t)got;
        return LINK_BYTES;
    }
    link->more = false;
    if (got < 0 && errno == EAGAIN)
        return LINK_NOTHING;
    *p = got == 0 ? "the server ended the connection" : strerror(errno);
    return LINK_BROKEN;
}

static enum link_got tls_failure(struct link *link, int result, const char **p)
{
    int error = SSL_get_error(link->ssl, result);
    if (error == SSL_ERROR_WANT_READ)
        return LINK_NOTHING;
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    *p = error == SSL_ERROR_ZERO_RETURN ? "the server ended TLS" : reason != NULL ? reason : "TLS error";
    return LINK_BROKEN;
}

/* What OpenSSL makes of the bytes that it has; NOTHING when it wants more. */
static enum link_got decode(struct link *link, const char **p, size_t *n)
{
    if (link->state == LINK_HANDSHAKE) {
        int result = SSL_do_handshake(link->ssl);
        if (result != 1)
            return tls_failure(link, result, p);
        link->state = LINK_OPEN;
        return LINK_READY;
    }
    int got = SSL_read(link->ssl, record_bytes, sizeof(record_bytes));
    if (got <= 0)
        return tls_failure(link, got, p);
    *p = record_bytes;
    *n = (size_t)got;
    return LINK_BYTES;
}

static enum link_got tls_next(struct link *link, const char **p, size_t *n)
{
    for (bool fresh = link->state == LINK_HANDSHAKE;; fresh = true) {
        enum link_got got = fresh || link->in_n != 0 ? decode(link, p, n) : LINK_NOTHING;
        if (got != LINK_NOTHING)
            return got;
        got = receive(link, &link->in, &link->in_n);
        if (got == LINK_BROKEN)
            *p = link->in;
        if (got != LINK_BYTES) {
            link->in_n = 0;
            return got;
        }
    }
}

static enum link_got connected(struct link *link, const char **p)
{
    int error = 0;
    socklen_t length = sizeof(error);
    if (!link->more)
        return LINK_NOTHING;
    getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) {
        *p = strerror(error);
        return LINK_BROKEN;
    }
    link->state = link->ssl == NULL ? LINK_OPEN : LINK_HANDSHAKE;
    return LINK_READY;
}

enum link_got link_next(struct link *link, const char **p, size_t *n)
{
    if (link->state == LINK_CLOSED)
        return LINK_NOTHING;
    if (link->state == LINK_CONNECTING) {
        enum link_got got = connected(link, p);
        if (got != LINK_READY || link->ssl == NULL)
            return got;
    }
    return link->ssl == NULL ? receive(link, p, n) : tls_next(link, p, n);
}

bool link_write(struct link *link, const void *p, size_t n)
{
    if (link->ssl == NULL)
        return send_or_keep(link, p, n);
    return n <= INT_MAX && SSL_write(link->ssl, p, (int)n) == (int)n;
}

bool link_speaks(const struct link *link, const char *protocol)
{
    const unsigned char *chosen;
    unsigned n;
    SSL_get0_alpn_selected(link->ssl, &chosen, &n);
    return n == strlen(protocol) && memcmp(chosen, protocol, n) == 0;
}

void link_close(struct link *link)
{
    if (link->state == LINK_CLOSED)
        return;
    link->state = LINK_CLOSED;
    SSL_free(link->ssl);
    free(link->out);
    close(link->fd);
    link->ssl = NULL;
    link->out = NULL;
    link->out_n = link->in_n = 0;
}
