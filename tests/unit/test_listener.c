/* runtime/listener: real sockets on ports the kernel picks. That per-connection memory is freed shows under the asan preset. */
#include "runtime/net/listener.h"

#include <malloc.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/resource.h>

#include "runtime/net/connection.h"
#include "server.h"

static int connect_to(const struct sockaddr *address, socklen_t length)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, address, length) == 0)
        return fd;
    close(fd);
    return -1;
}

static int connect_four(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connect_to((struct sockaddr *)&to, sizeof(to));
}

static int connect_six(int port)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_loopback};
    return connect_to((struct sockaddr *)&to, sizeof(to));
}

static bool machine_has_ipv6(void)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0;
    if (fd >= 0)
        close(fd);
    return has;
}

static void test_bind(void)
{
    int port = 0, other = 0, client;
    const char *error = NULL;
    int fd = listener_bind("", 0, &port, &error);
    check(fd >= 0 && port > 0, "port 0 becomes a real port");
    check((client = connect_four(port)) >= 0, "every address: IPv4 reaches it");
    close(client);
    if (machine_has_ipv6()) {
        check((client = connect_six(port)) >= 0, "every address: IPv6 reaches it");
        close(client);
    }
    char want[100];
    snprintf(want, sizeof(want), "port %d is in use", port);
    check(listener_bind("", port, &other, &error) == -1, "a port that is in use can't be bound again");
    check_slice(slice_of(error), slice_of(want), "and the sentence says so");
    check(listener_bind("127.0.0.1", port, &other, &error) == -1, "nor on one address of it");
    close(fd);
    fd = listener_bind("127.0.0.1", port, &other, &error);
    check(fd >= 0 && other == port, "once free it can be bound at once, though connections to it were just open");
    close(fd);
    check(listener_bind("192.0.2.1", 0, &other, &error) == -1, "an address of another machine can't be bound");
    check_slice(slice_of(error), SLICE("'192.0.2.1' is no address of this machine"), "and the sentence says so");
    check(listener_bind("256.1.1.1.invalid", 0, &other, &error) == -1, "nor a name that does not exist");
    check(slice_starts(slice_of(error), SLICE("cannot resolve host '256.1.1.1.invalid': ")), "and the sentence says so: %s", error);
}

/* A name that has several addresses meets each of them; what listener_bind() does with the kernel's answer agrees where there is one address. */
static void test_hosts(void)
{
    static const struct {
        const char *host, *other;
        bool meet;
    } cases[] = {
        {"", "", true},
        {"", "127.0.0.1", true},
        {"", "::1", true},
        {"::", "127.0.0.1", true},
        {"::", "0.0.0.0", true},
        {"0.0.0.0", "127.0.0.1", true},
        {"0.0.0.0", "::1", false},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"127.0.0.1", "::1", false},
        {"127.0.0.1", "::ffff:127.0.0.1", true},
        {"localhost", "127.0.0.1", true},
        {"localhost", "127.0.0.2", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        const char *host = cases[i].host, *other = cases[i].other, *error;
        check(listener_hosts_meet(host, other) == cases[i].meet && listener_hosts_meet(other, host) == cases[i].meet,
              "'%s' and '%s' %s", host, other, cases[i].meet ? "meet" : "do not meet");
        int port, again, fd = listener_bind(host, 0, &port, &error);
        int second = fd == -1 || strcmp(host, "localhost") == 0 ? -1 : listener_bind(other, port, &again, &error);
        check(second == -1 || !cases[i].meet, "the kernel lets '%s' and '%s' listen on one port, so they do not meet", host, other);
        if (fd != -1)
            close(fd);
        if (second != -1)
            close(second);
    }
}

static void test_cap(void)
{
    struct server s;
    int clients[6];
    server_init(&s);
    server_open(&s, 4);
    for (int i = 0; i < 6; ++i)
        clients[i] = client_connect(&s);
    check(server_until(&s, s.opened == 4), "connections are accepted up to the cap");
    server_settle(&s);
    check(s.opened == 4, "and not above it");
    close(clients[0]);
    check(server_until(&s, s.closed == 1 && s.opened == 5), "a close lets one more in");
    server_settle(&s);
    check(s.opened == 5, "exactly one");
    close(clients[1]);
    close(clients[2]);
    check(server_until(&s, s.closed == 3 && s.opened == 6), "the last one comes in");
    int late = client_connect(&s);
    check(server_until(&s, s.opened == 7), "below the cap accepting goes on");
    close(late);
    for (int i = 3; i < 6; ++i)
        close(clients[i]);
    check(server_close(&s), "all are gone at the end");
}

static void test_flood(void)
{
    enum { MANY = 150 };
    struct server s;
    int clients[MANY];
    server_init(&s);
    server_open(&s, 1000);
    server_settle(&s);
    for (int i = 0; i < MANY; ++i)
        clients[i] = client_connect(&s);
    h2o_evloop_run(s.ctx.loop, 1000);
    check(s.opened > 0 && s.opened <= 64, "one turn of the loop takes a bounded number of them (%d)", s.opened);
    check(server_until(&s, s.opened == MANY), "further turns take the rest");
    for (int i = 0; i < MANY; ++i)
        close(clients[i]);
    check(server_close(&s), "all are gone at the end");
}

static int last_fd;

static int on_count(h2o_handler_t *self, h2o_req_t *req)
{
    h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
    struct connection *connection = connection_of_request(req);
    char body[64];
    (void)self;
    last_fd = h2o_socket_get_fd(sock);
    bool clean = connection->streams != 0 || (connection->place == NULL && connection->tls == NULL && !connection->taken_over);
    snprintf(body, sizeof(body), "[%d %s]", (int)++connection->streams, clean ? "good" : "bad");
    req->res.status = 200;
    req->res.content_length = strlen(body);
    h2o_send_inline(req, body, strlen(body));
    return 0;
}

static bool counts(struct server *s, int fd, const char *want)
{
    struct slice answer = client_ask(s, fd, SLICE("GET /count HTTP/1.1\r\nhost: x\r\n\r\n"), "]");
    return memmem(answer.p, answer.n, want, strlen(want)) != NULL;
}

static int option(int level, int name)
{
    int value = -1;
    socklen_t length = sizeof(value);
    getsockopt(last_fd, level, name, &value, &length);
    return value;
}

static void test_connection_record(void)
{
    struct server s;
    server_init(&s);
    h2o_create_handler(h2o_config_register_path(s.host, "/count", 0), sizeof(h2o_handler_t))->on_req = on_count;
    server_open(&s, 10);
    int a = client_connect(&s), b = client_connect(&s);
    check(counts(&s, a, "[1 good]"), "a new connection's record is zeroed");
    check(counts(&s, a, "[2 good]"), "it is the same for the next request on it");
    check(counts(&s, b, "[1 good]"), "and another for another connection");
    check(counts(&s, a, "[3 good]"), "which leaves it alone");
    check(option(IPPROTO_TCP, TCP_NODELAY) == 1, "small writes are not held back");
    check(option(IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 16384, "the kernel holds little that is not sent yet");
    check(option(IPPROTO_TCP, TCP_USER_TIMEOUT) == 30000, "a peer that stops answering is dropped");
    close(a);
    int c = client_connect(&s);
    check(counts(&s, c, "[1 good]"), "a record is never a closed connection's");
    close(b);
    close(c);
    check(server_close(&s) && s.opened == 3, "opens and closes were both told");
}

static void test_stop(void)
{
    struct server s;
    server_init(&s);
    h2o_create_handler(h2o_config_register_path(s.host, "/count", 0), sizeof(h2o_handler_t))->on_req = on_count;
    server_open(&s, 1);
    int open = client_connect(&s);
    check(counts(&s, open, "[1 good]"), "a connection is open, at the cap");
    listener_stop(s.listener);
    s.listener = NULL;
    check(connect_four(s.port) == -1 && errno == ECONNREFUSED, "after a stop new connections are refused");
    check(counts(&s, open, "[2 good]"), "open ones go on");
    close(open);
    check(server_until(&s, s.closed == 1), "their close is still told");
    check(server_close(&s), "and nothing is left");
}

static void stop_when_opened(void *data, enum listener_event event)
{
    struct server *s = data;
    server_on_event(s, event);
    if (event != LISTENER_OPENED)
        return;
    listener_stop(s->listener);
    s->listener = NULL;
}

static void test_stop_while_accepting(void)
{
    struct server s;
    server_init(&s);
    server_open(&s, 10);
    listener_stop(s.listener);
    const char *error;
    int fd = listener_bind("127.0.0.1", 0, &s.port, &error);
    struct listener_options options = {.accept = &s.accept, .max_connections = 10, .on_event = stop_when_opened, .data = &s};
    s.listener = listener_start(fd, &options);
    close(fd);
    int a = client_connect(&s), b = client_connect(&s);
    check(server_until(&s, s.opened == 1) && s.listener == NULL, "a listener may be stopped by what it calls");
    server_settle(&s);
    check(s.opened == 1, "and accepts no more, though more were queued");
    close(a);
    close(b);
    check(server_close(&s), "all are gone at the end");
}

/* Two loops, as two workers have them, on one bound descriptor. */
static void test_two_workers(void)
{
    struct server s, t;
    const char *error;
    int port, clients[20];
    int fd = listener_bind("", 0, &port, &error);
    server_init(&s);
    server_init(&t);
    server_open(&s, 10);
    server_open(&t, 10);
    listener_stop(s.listener);
    listener_stop(t.listener);
    s.listener = listener_start(
        fd, &(struct listener_options){.accept = &s.accept, .max_connections = 10, .on_event = server_on_event, .data = &s});
    t.listener = listener_start(
        fd, &(struct listener_options){.accept = &t.accept, .max_connections = 10, .on_event = server_on_event, .data = &t});
    close(fd);
    s.port = t.port = port;
    for (int i = 0; i < 20; ++i)
        clients[i] = client_connect(&s);
    h2o_evloop_run(s.ctx.loop, 100);
    check(s.opened == 10, "one worker takes its share of a shared socket");
    listener_stop(s.listener);
    s.listener = NULL;
    check(server_until(&t, t.opened == 10), "the other takes the rest, and nothing is lost when the first stops");
    for (int i = 0; i < 20; ++i)
        close(clients[i]);
    check(server_close(&s) && server_close(&t), "all are gone at the end");
}

static void limit_files(rlim_t limit)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = limit;
    setrlimit(RLIMIT_NOFILE, &files);
}

static void test_no_descriptors(void)
{
    struct server s;
    struct rlimit files;
    server_init(&s);
    server_open(&s, 10);
    getrlimit(RLIMIT_NOFILE, &files);
    int client = client_connect(&s);
    limit_files((rlim_t)client + 1);
    fflush(stdout);
    int turns = 0;
    for (uint64_t end = server_now_ms() + 350; server_now_ms() < end; ++turns)
        h2o_evloop_run(s.ctx.loop, 50);
    limit_files(files.rlim_cur);
    check(s.opened == 0, "without a free descriptor nothing is accepted");
    check(turns < 50, "and the loop rests (%d turns in 350 ms)", turns);
    check(server_until(&s, s.opened == 1), "with one free again the connection is accepted");
    close(client);
    check(server_close(&s), "all are gone at the end");
}

int main(void)
{
    mallopt(M_PERTURB, 0x55); /* memory that is not set holds something */
    signal(SIGPIPE, SIG_IGN);
    test_bind();
    test_hosts();
    test_cap();
    test_flood();
    test_connection_record();
    test_stop();
    test_stop_while_accepting();
    test_two_workers();
    test_no_descriptors();
    return check_end();
}
