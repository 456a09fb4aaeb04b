#include "tests/fuzz/peer.h"

#include <sys/socket.h>
#include <unistd.h>

#include "runtime/log.h"
#include "runtime/redis/dial.h"

static struct {
    h2o_loop_t *loop;
    int fd;
    size_t commands;
    struct text received; /* what is no whole command yet */
} peer = {.fd = -1};

/* ---- in place of dial.c ---- */

void dial_start(struct dial *dial, const struct redis_node *node)
{
    (void)node;
    int fds[2];
    if (peer.fd != -1)
        close(peer.fd);
    peer.received.n = 0;
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    peer.fd = fds[1];
    dial->on_done(dial->data, h2o_evloop_socket_create(dial->loop, fds[0], 0), NULL);
}

void dial_cancel(struct dial *dial)
{
    (void)dial;
}

const char *dial_late(const struct dial *dial)
{
    (void)dial;
    return "too late";
}

/* ---- in place of log_write(), by the linker's --wrap: else every connection of every input would be in the log ---- */

void __wrap_log_write(enum log_level level, const char *msg, const struct log_field *fields);
void __wrap_log_write(enum log_level level, const char *msg, const struct log_field *fields)
{
    must(level <= LOG_ERROR && msg[0] != '\0');
    for (++fields; fields->key != NULL; ++fields)
        must(fields->kind == LOG_INT || fields->str.p != NULL);
}

/* ---- what the client sends ---- */

/* "*3\r\n": its number, or -1 when the line is not all there. */
static long take_number(struct slice *rest, char mark)
{
    struct slice copy = *rest, line = slice_split(&copy, '\n');
    long number = 0;
    if (copy.p == NULL)
        return -1;
    must(line.n >= 3 && line.n < 20 && line.p[0] == mark && line.p[line.n - 1] == '\r');
    for (size_t i = 1; i != line.n - 1; ++i) {
        must(line.p[i] >= '0' && line.p[i] <= '9' && (i == 1 || line.p[1] != '0'));
        number = number * 10 + (line.p[i] - '0');
    }
    *rest = copy;
    return number;
}

/* Takes one command off the front; false when it is not all there. */
static bool take_command(struct slice *rest)
{
    struct slice left = *rest;
    long items = take_number(&left, '*'), length;
    if (items < 0)
        return false;
    must(items >= 1);
    for (; items != 0; --items) {
        if ((length = take_number(&left, '$')) < 0 || left.n < (size_t)length + 2)
            return false;
        must(memcmp(left.p + length, "\r\n", 2) == 0);
        left = slice_from(left, (size_t)length + 2);
    }
    *rest = left;
    return true;
}

static void receive(void)
{
    char bytes[4096];
    ssize_t n;
    while (peer.fd != -1 && (n = recv(peer.fd, bytes, sizeof(bytes), 0)) > 0)
        text_add(&peer.received, slice_make(bytes, (size_t)n));
    struct slice rest = text_slice(&peer.received);
    while (rest.n != 0 && take_command(&rest))
        ++peer.commands;
    struct text left = {NULL, 0, 0};
    text_add(&left, rest);
    text_free(&peer.received);
    peer.received = left;
}

/* ---- interface ---- */

struct redis_options peer_options(bool user, bool db)
{
    static struct redis_url url;
    if (peer.loop == NULL)
        peer.loop = h2o_evloop_create();
    url = (struct redis_url){.kind = REDIS_UNIX, .path = "/peer", .db = db ? 3 : 0};
    snprintf(url.login.user, sizeof(url.login.user), "%s", user ? "user" : "");
    snprintf(url.login.password, sizeof(url.login.password), "%s", user ? "secret" : "");
    return (struct redis_options){
        .loop = peer.loop, .url = &url, .name = "fuzz", .connect_timeout_ms = 600000, .reply_timeout_ms = 600000};
}

void peer_settle(void)
{
    h2o_evloop_run(peer.loop, 0);
    h2o_evloop_run(peer.loop, 0);
    receive();
}

void peer_say(struct slice bytes)
{
    if (peer.fd != -1 && bytes.n != 0 && send(peer.fd, bytes.p, bytes.n, MSG_NOSIGNAL) < 0)
        peer_hang_up();
    peer_settle();
}

void peer_greet(bool user, bool db)
{
    peer_settle();
    peer_say(user && db ? SLICE("+OK\r\n*0\r\n+OK\r\n+OK\r\n+PONG\r\n")
             : user     ? SLICE("+OK\r\n*0\r\n+OK\r\n+PONG\r\n")
             : db       ? SLICE("*0\r\n+OK\r\n+OK\r\n+PONG\r\n")
                        : SLICE("*0\r\n+OK\r\n+PONG\r\n"));
}

void peer_hang_up(void)
{
    if (peer.fd != -1)
        close(peer.fd);
    peer.fd = -1;
    peer_settle();
}

size_t peer_commands(void)
{
    return peer.commands;
}

void peer_end(void)
{
    peer_hang_up();
    text_free(&peer.received);
    peer.commands = 0;
}
