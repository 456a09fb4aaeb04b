/* For tests of proto/bus: a loop, and real redis-server processes in a directory that goes with the process. A server listens on a
 * unix socket and a free port of 127.0.0.1; it dies with the test. */
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/channel.h"
#include "runtime/redis/redis.h"
#include "tests/check.h"

enum { DEADLINE_MS = 15000, SERVER_ARGS_MAX = 48 };

static h2o_loop_t *loop;
static h2o_multithread_receiver_t getaddr;
static char directory[64];

struct server {
    const char *name;
    const char *const *config; /* further arguments, NULL-terminated; may be NULL */
    pid_t pid;
    int port;
    char sock[96];
    int log; /* its standard output */
    redisContext *control; /* the test's own connection, blocking */
};

CHECK_UNUSED static uint64_t clock_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Turns the loop until the condition holds; false when it doesn't in time. */
#define run_until(cond)                           \
    ({                                            \
        uint64_t end_ = clock_ms() + DEADLINE_MS; \
        while (!(cond) && clock_ms() < end_)      \
            h2o_evloop_run(loop, 10);             \
        (cond);                                   \
    })

static void bail_out(const char *what)
{
    printf("Bail out! %s: %s\n", what, strerror(errno));
    exit(1);
}

static int free_port(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1 || bind(fd, (struct sockaddr *)&sin, size) != 0 || getsockname(fd, (struct sockaddr *)&sin, &size) != 0)
        bail_out("no free port");
    close(fd);
    return ntohs(sin.sin_port);
}

static void run_server(const struct server *server, int out)
{
    char port[8];
    const char *args[SERVER_ARGS_MAX] = {
        "redis-server", "--bind",    "127.0.0.1", "--port",           port, "--unixsocket", server->sock, "--save", "", "--dir",
        directory,      "--logfile", "",          "--protected-mode", "no"};
    size_t n = 15;
    snprintf(port, sizeof(port), "%d", server->port);
    for (size_t i = 0; server->config != NULL && server->config[i] != NULL && n + 1 < SERVER_ARGS_MAX; ++i)
        args[n++] = server->config[i];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execvp(args[0], (char **)args);
    _exit(127);
}

/* Returns when it accepts connections. */
static void server_start(struct server *server)
{
    int pipes[2];
    char line[512];
    if (server->port == 0)
        server->port = free_port();
    snprintf(server->sock, sizeof(server->sock), "%s/%s.sock", directory, server->name);
    if (pipe2(pipes, O_CLOEXEC) != 0 || (server->pid = fork()) == -1)
        bail_out("fork");
    if (server->pid == 0)
        run_server(server, pipes[1]);
    close(pipes[1]);
    FILE *log = fdopen(pipes[0], "r");
    bool up = false;
    /* two lines, in this order: "Ready to accept connections" follows each listener */
    while (!up && fgets(line, sizeof(line), log) != NULL) {
        if (strchr("*>B'", line[0]) != NULL)
            printf("# %s", line); /* a fault of its configuration */
        up = strstr(line, "ready to accept connections at") != NULL || strstr(line, "connections unix") != NULL;
    }
    if (!up)
        bail_out("redis-server did not start");
    server->log = dup(fileno(log));
    fclose(log);
}

static redisReply *server_do(struct server *server, const char *format, ...)
{
    va_list args;
    if (server->control == NULL)
        server->control = redisConnectUnix(server->sock);
    va_start(args, format);
    redisReply *reply = redisvCommand(server->control, format, args);
    va_end(args);
    if (reply == NULL)
        bail_out("the test's own connection is gone");
    return reply;
}

/* For commands whose answer is of no interest, but must not be an error. */
#define server_set(server, ...)                                    \
    do {                                                           \
        redisReply *reply_ = server_do((server), __VA_ARGS__);     \
        if (reply_->type == REDIS_REPLY_ERROR)                     \
            printf("# %s\n", reply_->str), bail_out(#__VA_ARGS__); \
        freeReplyObject(reply_);                                   \
    } while (0)

/* The number after `name` in INFO's answer; 0 without it. */
CHECK_UNUSED static long long server_info(struct server *server, const char *name)
{
    redisReply *reply = server_do(server, "INFO everything");
    const char *at = strstr(reply->str, name);
    long long value = at == NULL ? 0 : atoll(at + strlen(name));
    freeReplyObject(reply);
    return value;
}

/* How many of its clients are subscribed to this Redis channel; `count` is NUMSUB or SHARDNUMSUB. */
CHECK_UNUSED static long long server_listeners(struct server *server, const char *count, const char *name)
{
    redisReply *reply = server_do(server, "PUBSUB %s %s", count, name);
    long long n = reply->element[1]->integer;
    freeReplyObject(reply);
    return n;
}

/* The Redis channel of a channel, until the next call. */
CHECK_UNUSED static struct slice pubsub(const char *channel)
{
    static char name[CHANNEL_KEY_MAX];
    return slice_make(name, channel_pubsub(name, slice_of(channel)));
}

static void server_stop(struct server *server, int signo)
{
    if (server->control != NULL)
        redisFree(server->control);
    server->control = NULL;
    kill(server->pid, signo);
    kill(server->pid, SIGCONT);
    waitpid(server->pid, NULL, 0);
    close(server->log);
    server->pid = 0;
}

CHECK_UNUSED static struct redis_url *url_of(struct redis_url *url, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (redis_url_parse(url, text) != NULL)
        bail_out(text);
    return url;
}

CHECK_UNUSED static struct redis_options options_for(const struct redis_url *url)
{
    return (struct redis_options){
        .loop = loop, .getaddr = &getaddr, .url = url, .name = "test", .connect_timeout_ms = 5000, .reply_timeout_ms = 10000};
}

static void remove_directory(void)
{
    DIR *entries = opendir(directory);
    for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;)
        unlinkat(dirfd(entries), entry->d_name, 0);
    closedir(entries);
    rmdir(directory);
}

static void servers_init(void)
{
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    strcpy(directory, "/tmp/sse-bus-XXXXXX");
    if (mkdtemp(directory) == NULL)
        bail_out("mkdtemp");
    atexit(remove_directory);
    loop = h2o_evloop_create();
    h2o_multithread_register_receiver(h2o_multithread_create_queue(loop), &getaddr, h2o_hostinfo_getaddr_receiver);
}
