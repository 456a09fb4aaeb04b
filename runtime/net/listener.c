#include "runtime/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/log.h"
#include "runtime/h2o/bodies.h"
#include "runtime/net/client_address.h"
#include "runtime/net/connection.h"
#include "runtime/net/proxies.h"
#include "runtime/net/proxy_protocol.h"

enum {
    BACKLOG = 4096, /* the kernel caps it at net.core.somaxconn */
    ACCEPTS_PER_TURN = 64, /* a flood of connections must not hold up the streams that are open */
    NOTSENT_LOWAT_BYTES = 16384, /* else a stuck reader costs megabytes of kernel memory */
    USER_TIMEOUT_MS = 30000, /* an unreachable peer is dropped after this long without an ACK */
};

struct listener {
    h2o_socket_t *sock; /* NULL once stopped */
    struct listener_options options;
    struct connection_owner owner;
    size_t open; /* connections */
    size_t refs; /* the owner's, one for each open connection, one while accepting */
    h2o_timeout_entry_t pause; /* linked while accepting waits for file descriptors */
    struct log_limit fault_limit, full_limit;
};

/* One attempt at one address: the descriptor, or -1 with errno set. */
static int bind_address(const struct sockaddr *address, socklen_t length)
{
    int on = 1, off = 0;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    bool any = address->sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr);
    if ((any && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0) || bind(fd, address, length) != 0 ||
        listen(fd, BACKLOG) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* Every address of the machine. IPv6 may be compiled out, switched off or without an address: then IPv4 alone. */
static int bind_everywhere(int port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_any};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = bind_address((struct sockaddr *)&six, sizeof(six));
    if (fd < 0 && errno != EADDRINUSE && errno != EACCES)
        fd = bind_address((struct sockaddr *)&four, sizeof(four));
    return fd;
}

/* The first address of `host` that can be bound. -1 with errno set, and *unknown when there is none. */
static int bind_host(const char *host, int port, const char **unknown)
{
    char service[8];
    struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    snprintf(service, sizeof(service), "%d", port);
    int failure = getaddrinfo(host, service, &hints, &found);
    if (failure != 0) {
        *unknown = gai_strerror(failure);
        return -1;
    }
    int fd = -1;
    for (struct addrinfo *a = found; fd < 0 && a != NULL; a = a->ai_next)
        fd = bind_address(a->ai_addr, a->ai_addrlen);
    int saved = errno;
    freeaddrinfo(found);
    errno = saved;
    return fd;
}

static const char *bind_sentence(const char *host, int port, const char *unknown)
{
    static char sentence[512];
    if (unknown != NULL)
        snprintf(sentence, sizeof(sentence), "cannot resolve host '%.200s': %s", host, unknown);
    else if (errno == EADDRINUSE)
        snprintf(sentence, sizeof(sentence), "port %d is in use", port);
    else if (errno == EACCES)
        snprintf(sentence, sizeof(sentence), "port %d needs privileges this process does not have", port);
    else if (errno == EADDRNOTAVAIL)
        snprintf(sentence, sizeof(sentence), "'%.200s' is no address of this machine", host);
    else
        snprintf(sentence, sizeof(sentence), "cannot listen on port %d: %s", port, strerror(errno));
    return sentence;
}

int listener_bind(const char *host, int port, int *bound, const char **error)
{
    const char *unknown = NULL;
    int fd = host[0] == '\0' ? bind_everywhere(port) : bind_host(host, port, &unknown);
    if (fd < 0) {
        *error = bind_sentence(host, port, unknown);
        return -1;
    }
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    getsockname(fd, (struct sockaddr *)&address, &length);
    *bound = h2o_socket_getport((struct sockaddr *)&address);
    return fd;
}

const char *listener_check_host(const char *setting, const char *host)
{
    static char sentence[512];
    struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    int failure = host[0] == '\0' ? 0 : getaddrinfo(host, "0", &hints, &found);
    if (failure != 0)
        snprintf(sentence, sizeof(sentence), "%s: cannot resolve '%.200s': %s", setting, host, gai_strerror(failure));
    else if (host[0] != '\0')
        freeaddrinfo(found);
    return failure == 0 ? NULL : sentence;
}

static bool covers(const struct client_address *listener, const struct client_address *other)
{
    static const struct client_address everywhere, four = {{[10] = 0xff, [11] = 0xff}};
    enum { MAPPED = 12 };
    if (memcmp(listener, &four, sizeof(four)) == 0)
        return memcmp(other, &four, MAPPED) == 0;
    return memcmp(listener, &everywhere, sizeof(everywhere)) == 0 || memcmp(listener, other, sizeof(*other)) == 0;
}

static struct addrinfo *addresses_of(const char *host)
{
    struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    return getaddrinfo(host[0] == '\0' ? "::" : host, "0", &hints, &found) == 0 ? found : NULL;
}

bool listener_hosts_meet(const char *host, const char *other)
{
    struct addrinfo *ours = addresses_of(host), *theirs = addresses_of(other);
    bool meet = false;
    for (const struct addrinfo *a = ours; a != NULL; a = a->ai_next)
        for (const struct addrinfo *b = theirs; b != NULL; b = b->ai_next) {
            struct client_address one, two;
            if (client_address_read(&one, a->ai_addr) && client_address_read(&two, b->ai_addr))
                meet = meet || covers(&one, &two) || covers(&two, &one);
        }
    if (ours != NULL)
        freeaddrinfo(ours);
    if (theirs != NULL)
        freeaddrinfo(theirs);
    return meet;
}

static void release(struct listener *listener)
{
    if (--listener->refs == 0)
        free(listener);
}

static void on_readable(h2o_socket_t *sock, const char *err);

static bool may_accept(const struct listener *listener)
{
    return listener->sock != NULL && listener->open < listener->options.max_connections &&
           !h2o_timeout_is_linked((h2o_timeout_entry_t *)&listener->pause);
}

static void warn_when_full(struct listener *listener)
{
    const struct listener_options *options = &listener->options;
    if (listener->open == options->max_connections && log_allowed(&listener->full_limit))
        log_warn("connection limit reached; not accepting", log_str("listener", options->name == NULL ? "" : options->name),
                 log_int("open", (int64_t)listener->open), log_int("limit", (int64_t)options->total),
                 log_str("setting", "MAX_CONNECTIONS"));
}

/* Polls for connections exactly while they may be accepted. */
static void update_polling(struct listener *listener)
{
    if (listener->sock == NULL)
        return;
    bool polling = h2o_socket_is_reading(listener->sock);
    if (may_accept(listener) && !polling) {
        h2o_socket_read_start(listener->sock, on_readable);
    } else if (!may_accept(listener) && polling) {
        warn_when_full(listener);
        h2o_socket_read_stop(listener->sock);
    }
}

static void on_pause_over(h2o_timeout_entry_t *entry)
{
    update_polling(H2O_STRUCT_FROM_MEMBER(struct listener, pause, entry));
}

/* Out of descriptors or of kernel memory the connection stays queued and the socket readable: accepting again at once would spin. */
static void pause_accepting(struct listener *listener, int error)
{
    h2o_context_t *ctx = listener->options.accept->ctx;
    if (log_allowed(&listener->fault_limit))
        log_error("cannot accept connections", log_str("error", strerror(error)), log_int("open", (int64_t)listener->open));
    h2o_timeout_link(ctx->loop, &ctx->hundred_ms_timeout, &listener->pause);
}

static void tell(const struct listener *listener, enum listener_event event)
{
    if (listener->options.on_event != NULL)
        listener->options.on_event(listener->options.data, event);
}

static void on_connection_closed(struct connection_owner *owner)
{
    struct listener *listener = H2O_STRUCT_FROM_MEMBER(struct listener, owner, owner);
    --listener->open;
    tell(listener, LISTENER_CLOSED);
    update_polling(listener);
    release(listener);
}

/* A connection whose PROXY header (proxy_protocol.h) is not complete; read for at most as long as a TLS handshake may take. */
struct proxied {
    struct listener *listener;
    h2o_socket_t *sock;
    h2o_timeout_entry_t timeout;
};

/* Where the header is good, the socket's input begins with what came behind the header. */
static void end_header(struct proxied *proxied, bool good)
{
    struct proxied done = *proxied;
    h2o_timeout_unlink(&proxied->timeout);
    free(proxied);
    h2o_socket_read_stop(done.sock);
    done.sock->data = NULL;
    if (good) {
        h2o_accept(done.listener->options.accept, done.sock);
        return;
    }
    tell(done.listener, LISTENER_BAD_PROXY);
    h2o_socket_close(done.sock);
}

static void on_header_timeout(h2o_timeout_entry_t *entry)
{
    end_header(H2O_STRUCT_FROM_MEMBER(struct proxied, timeout, entry), false);
}

static void on_header(h2o_socket_t *sock, const char *err)
{
    struct sockaddr_storage client;
    socklen_t length;
    size_t used = 0;
    enum proxy_protocol result = PROXY_PROTOCOL_BAD;
    if (err == NULL)
        result = proxy_protocol_read(slice_make(sock->input->bytes, sock->input->size), &client, &length, &used);
    if (result == PROXY_PROTOCOL_MORE)
        return;
    if (result == PROXY_PROTOCOL_CLIENT)
        h2o_socket_setpeername(sock, (void *)&client, length);
    h2o_buffer_consume(&sock->input, used);
    end_header(sock->data, result != PROXY_PROTOCOL_BAD);
}

static void read_header(struct listener *listener, h2o_socket_t *sock)
{
    h2o_context_t *ctx = listener->options.accept->ctx;
    struct proxied *proxied = h2o_mem_alloc(sizeof(*proxied));
    *proxied = (struct proxied){.listener = listener, .sock = sock, .timeout = {.cb = on_header_timeout}};
    h2o_timeout_link(ctx->loop, &ctx->handshake_timeout, &proxied->timeout);
    sock->data = proxied;
    h2o_socket_read_start(sock, on_header);
}

static bool is_proxy(const struct listener *listener, h2o_socket_t *sock)
{
    struct sockaddr_storage peer;
    return listener->options.proxies != NULL && h2o_socket_getpeername(sock, (struct sockaddr *)&peer) != 0 &&
           proxies_trust(listener->options.proxies, (struct sockaddr *)&peer);
}

static void open_connection(struct listener *listener, h2o_socket_t *sock)
{
    connection_open(sock, &listener->owner);
    ++listener->open;
    ++listener->refs;
    bodies_own(sock);
    tell(listener, LISTENER_OPENED);
    if (is_proxy(listener, sock))
        read_header(listener, sock);
    else
        h2o_accept(listener->options.accept, sock);
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct listener *listener = sock->data;
    if (err != NULL)
        return;
    ++listener->refs;
    for (int i = 0; i < ACCEPTS_PER_TURN && may_accept(listener); ++i) {
        errno = 0;
        h2o_socket_t *accepted = h2o_evloop_socket_accept(listener->sock);
        if (accepted != NULL) {
            open_connection(listener, accepted);
        } else {
            if (is_shortage(errno))
                pause_accepting(listener, errno);
            /* A connection that its peer aborted in the queue (ECONNABORTED) is no end of the queue. */
            if (errno == EAGAIN || is_shortage(errno))
                break;
        }
    }
    update_polling(listener);
    release(listener);
}

/* Accepted sockets inherit them, which spares each connection the system calls. */
static void set_options(int fd, unsigned timeout)
{
    int lowat = NOTSENT_LOWAT_BYTES;
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
}

struct listener *listener_start(int fd, const struct listener_options *options)
{
    struct listener *listener = h2o_mem_alloc(sizeof(*listener));
    *listener = (struct listener){
        .options = *options, .owner = {.on_closed = on_connection_closed}, .refs = 1, .pause = {.cb = on_pause_over}};
    listener->owner.user_timeout_ms = options->user_timeout_ms != 0 ? options->user_timeout_ms : USER_TIMEOUT_MS;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0)
        die("cannot duplicate a listening socket: %s", strerror(errno));
    set_options(own, listener->owner.user_timeout_ms);
    listener->sock = h2o_evloop_socket_create(options->accept->ctx->loop, own, H2O_SOCKET_FLAG_DONT_READ);
    listener->sock->data = listener;
    update_polling(listener);
    return listener;
}

void listener_stop(struct listener *listener)
{
    h2o_timeout_unlink(&listener->pause);
    h2o_socket_close(listener->sock);
    listener->sock = NULL;
    release(listener);
}
