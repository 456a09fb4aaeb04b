#include "runtime/redis/dial.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/net/client_address.h"
#include "runtime/redis/redis_tls.h"

static const char *sentence(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return "connection refused";
    case ENOENT:
        return "the socket file does not exist";
    case EACCES:
        return "no permission to open the socket";
    case EAGAIN:
        return "Redis does not accept connections: its backlog is full";
    default:
        return strerrordesc_np(error);
    }
}

static void finish(struct dial *dial, h2o_socket_t *sock, const char *why)
{
    dial->sock = NULL;
    dial->on_done(dial->data, sock, why);
}

static void try_next(struct dial *dial, const char *why);

static const char *handshake_sentence(struct dial *dial, const char *err)
{
    const char *alert = tls_client_alert(dial->url->tls);
    if (alert != NULL)
        snprintf(dial->why, sizeof(dial->why), "Redis refused the TLS session: %s", alert);
    else if (err == h2o_socket_error_closed)
        snprintf(dial->why, sizeof(dial->why), "Redis closed the connection in the TLS handshake: is this its TLS port?");
    else if (strcmp(err, "ssl handshake failure") == 0)
        snprintf(dial->why, sizeof(dial->why), "the TLS handshake failed: is this Redis's TLS port?");
    else
        snprintf(dial->why, sizeof(dial->why), "certificate verify failed: %s", err);
    return dial->why;
}

/* libh2o's own check of the name comes after OpenSSL's, which the context made and which is right about addresses too. */
static void on_handshake(h2o_socket_t *sock, const char *err)
{
    struct dial *dial = sock->data;
    dial->handshaking = false;
    if (err == NULL || err == h2o_socket_error_ssl_cert_name_mismatch) {
        finish(dial, sock, NULL);
        return;
    }
    const char *why = handshake_sentence(dial, err);
    h2o_socket_close(sock);
    dial->sock = NULL;
    try_next(dial, why);
}

/* Server Name Indication is for names only; libh2o leaves it out for the empty one. */
static void start_handshake(struct dial *dial, h2o_socket_t *sock)
{
    const char *host = dial->node.host;
    struct client_address unused;
    bool is_address = client_address_literal(&unused, slice_of(host));
    dial->handshaking = true;
    redis_tls_expect(dial->url->tls, host, is_address);
    h2o_socket_ssl_handshake(sock, dial->url->tls, is_address ? "" : host, on_handshake);
}

static void on_connect(h2o_socket_t *sock, const char *err)
{
    struct dial *dial = sock->data;
    int error = 0;
    socklen_t size = sizeof(error);
    if (err != NULL || getsockopt(h2o_socket_get_fd(sock), SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = EIO;
    if (error == 0 && dial->url->secure) {
        start_handshake(dial, sock);
        return;
    }
    if (error == 0) {
        finish(dial, sock, NULL);
        return;
    }
    h2o_socket_close(sock);
    dial->sock = NULL;
    try_next(dial, sentence(error));
}

/* NULL, or why the address can't even be tried. Not h2o_socket_connect(): that one knows no unix sockets' full backlog and keeps the
 * reason of a failure to itself. */
static const char *try_address(struct dial *dial, const struct sockaddr *address, socklen_t length)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    if (fd == -1)
        return sentence(errno);
    if (connect(fd, address, length) != 0 && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        return sentence(error);
    }
    if (address->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    dial->sock = h2o_evloop_socket_create(dial->loop, fd, 0);
    dial->sock->data = dial;
    h2o_socket_notify_write(dial->sock, on_connect);
    return NULL;
}

/* Tries the addresses not tried yet; `why` is what the last one said. */
static void try_next(struct dial *dial, const char *why)
{
    while (dial->tried != dial->count) {
        size_t i = (dial->first + dial->tried++) % dial->count;
        why = try_address(dial, (struct sockaddr *)&dial->addresses[i], dial->lengths[i]);
        if (why == NULL)
            return;
    }
    finish(dial, NULL, why);
}

static void add_address(struct dial *dial, const void *address, socklen_t length)
{
    if (dial->count == DIAL_ADDRESSES_MAX || length > sizeof(dial->addresses[0]))
        return;
    memcpy(&dial->addresses[dial->count], address, length);
    dial->lengths[dial->count++] = length;
}

static bool add_numeric(struct dial *dial)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(dial->node.port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(dial->node.port)};
    if (inet_pton(AF_INET, dial->node.host, &in4.sin_addr) == 1)
        add_address(dial, &in4, sizeof(in4));
    else if (inet_pton(AF_INET6, dial->node.host, &in6.sin6_addr) == 1)
        add_address(dial, &in6, sizeof(in6));
    return dial->count != 0;
}

static void add_unix(struct dial *dial)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, dial->url->path, strlen(dial->url->path));
    add_address(dial, &un, sizeof(un));
}

static void on_lookup(h2o_hostinfo_getaddr_req_t *lookup, const char *error, struct addrinfo *found, void *data)
{
    struct dial *dial = data;
    (void)lookup;
    dial->lookup = NULL;
    for (; found != NULL; found = found->ai_next)
        add_address(dial, found->ai_addr, found->ai_addrlen);
    try_next(dial, error != NULL ? error : "the host name has no address");
}

void dial_start(struct dial *dial, const struct redis_node *node)
{
    dial->count = dial->tried = 0;
    dial->handshaking = false;
    ++dial->first;
    if (node != NULL)
        dial->node = *node;
    if (node == NULL)
        add_unix(dial);
    else if (!add_numeric(dial)) {
        char port[8];
        snprintf(port, sizeof(port), "%u", dial->node.port);
        dial->lookup = h2o_hostinfo_getaddr(dial->getaddr, h2o_iovec_init(dial->node.host, strlen(dial->node.host)),
                                            h2o_iovec_init(port, strlen(port)), AF_UNSPEC, SOCK_STREAM, IPPROTO_TCP,
                                            AI_ADDRCONFIG | AI_NUMERICSERV, on_lookup, dial);
        return;
    }
    try_next(dial, NULL);
}

void dial_cancel(struct dial *dial)
{
    if (dial->lookup != NULL)
        h2o_hostinfo_getaddr_cancel(dial->lookup);
    dial->lookup = NULL;
    if (dial->sock != NULL)
        h2o_socket_close(dial->sock);
    dial->sock = NULL;
}

const char *dial_late(const struct dial *dial)
{
    if (dial->lookup != NULL)
        return "resolving the host name took too long";
    return dial->handshaking ? "the TLS handshake took too long: is this Redis's TLS port?" : "connecting took too long";
}
