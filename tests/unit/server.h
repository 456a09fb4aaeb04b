/* A real libh2o server and its clients in one thread: the loop turns only while a test waits for something. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "runtime/net/listener.h"
#include "tests/check.h"

struct server {
    h2o_globalconf_t config;
    h2o_hostconf_t *host; /* the test registers its handlers here before server_open() */
    h2o_context_t ctx;
    h2o_accept_ctx_t accept;
    struct listener *listener;
    int port;
    int opened, closed; /* connections */
};

CHECK_UNUSED static void server_on_event(void *data, enum listener_event event)
{
    struct server *s = data;
    s->opened += event == LISTENER_OPENED;
    s->closed += event == LISTENER_CLOSED;
}

CHECK_UNUSED static void server_init(struct server *s)
{
    memset(s, 0, sizeof(*s));
    h2o_config_init(&s->config);
    s->host = h2o_config_register_host(&s->config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
}

CHECK_UNUSED static void server_open(struct server *s, size_t max_connections)
{
    const char *error;
    h2o_context_init(&s->ctx, h2o_evloop_create(), &s->config);
    s->accept.ctx = &s->ctx;
    s->accept.hosts = s->config.hosts;
    int fd = listener_bind("", 0, &s->port, &error);
    if (fd < 0) {
        printf("Bail out! %s\n", error);
        exit(2);
    }
    struct listener_options options = {
        .accept = &s->accept, .max_connections = max_connections, .on_event = server_on_event, .data = s};
    s->listener = listener_start(fd, &options);
    close(fd);
}

CHECK_UNUSED static uint64_t server_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Turns the loop until cond holds; false after 10 s. */
#define server_until(s, cond)                           \
    ({                                                  \
        uint64_t server_end = server_now_ms() + 10000;  \
        while (!(cond) && server_now_ms() < server_end) \
            h2o_evloop_run((s)->ctx.loop, 5);           \
        (cond);                                         \
    })

/* Turns the loop until it has nothing more to do at once. */
CHECK_UNUSED static void server_settle(struct server *s)
{
    for (int i = 0; i < 10; ++i)
        h2o_evloop_run(s->ctx.loop, 2);
}

/* Ends all; every client must have closed its end. False when a connection did not go. */
CHECK_UNUSED static bool server_close(struct server *s)
{
    if (s->listener != NULL)
        listener_stop(s->listener);
    bool all_gone = server_until(s, s->closed == s->opened);
    server_settle(s);
    h2o_loop_t *loop = s->ctx.loop;
    h2o_multithread_queue_t *queue = s->ctx.queue;
    h2o_context_dispose(&s->ctx);
    free(queue); /* libh2o 2.2.5 closes it, but forgets its memory */
    h2o_evloop_destroy(loop);
    h2o_config_dispose(&s->config);
    return all_gone;
}

/* A connected client socket that does not block. */
CHECK_UNUSED static int client_connect(struct server *s)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        printf("Bail out! connect: %s\n", strerror(errno));
        exit(2);
    }
    return fd;
}

/* Sends the bytes (which must fit the socket's buffer), turns the loop until the server closes the connection or what it answered holds
 * `until` (NULL: only the close counts), and returns all that came, NUL-terminated in a static buffer. */
CHECK_UNUSED static struct slice client_ask(struct server *s, int fd, struct slice bytes, const char *until)
{
    static char answer[1 << 20];
    size_t n = 0;
    uint64_t end = server_now_ms() + 10000;
    answer[0] = '\0';
    if (send(fd, bytes.p, bytes.n, MSG_NOSIGNAL) != (ssize_t)bytes.n)
        return slice_make(answer, 0);
    while (server_now_ms() < end && (until == NULL || memmem(answer, n, until, strlen(until)) == NULL)) {
        h2o_evloop_run(s->ctx.loop, 1);
        ssize_t got = recv(fd, answer + n, sizeof(answer) - 1 - n, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            break;
        n += got < 0 ? 0 : (size_t)got;
        answer[n] = '\0';
    }
    return slice_make(answer, n);
}

/* One request on a connection of its own, until the server closes it. */
CHECK_UNUSED static struct slice server_ask(struct server *s, struct slice bytes)
{
    int fd = client_connect(s);
    struct slice answer = client_ask(s, fd, bytes, NULL);
    close(fd);
    return answer;
}
