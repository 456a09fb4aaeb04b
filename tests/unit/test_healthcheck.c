/* runtime/healthcheck, against a real server, against others, and through config_main(). */
#include "runtime/healthcheck.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "runtime/admin.h"
#include "runtime/config_main.h"
#include "runtime/metrics.h"
#include "server.h"

static const char *bus_fault;

static const char *check_fault(void *data)
{
    return *(const char **)data;
}

static const struct admin_check ready[] = {{"bus", check_fault, &bus_fault}};

struct settings {
    const char *host;
    int64_t port, other;
};

static const struct config_option options[] = {
    {.name = "OTHER", .kind = CONFIG_INT, .fallback = "1", .min = 1, .max = 2, .at = offsetof(struct settings, other), .doc = "-"},
    {.name = "ADMIN_PORT", .kind = CONFIG_INT, .fallback = "0", .max = 65535, .at = offsetof(struct settings, port), .doc = "-"},
    {.name = "ADMIN_HOST", .kind = CONFIG_TEXT, .fallback = "127.0.0.1", .at = offsetof(struct settings, host), .doc = "-"},
};
static const struct config_table table = {"test_healthcheck", "-", options, sizeof(options) / sizeof(options[0]), NULL};

static char output[4096];

/* A child whose output goes to the returned descriptor. */
static int start(pid_t *pid, void (*run)(const void *data), const void *data)
{
    int ends[2];
    fflush(stdout);
    if (pipe2(ends, O_CLOEXEC) != 0 || (*pid = fork()) == -1)
        exit(2);
    if (*pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        run(data);
        _exit(100);
    }
    close(ends[1]);
    return ends[0];
}

/* Turns the server's loop, if there is one, until the child is gone; its exit status, and what it said is in `output`. */
static int finish(struct server *s, pid_t pid, int fd)
{
    int status;
    size_t n = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (s != NULL)
            h2o_evloop_run(s->ctx.loop, 1);
        else
            usleep(1000);
    }
    for (ssize_t got; (got = read(fd, output + n, sizeof(output) - 1 - n)) > 0;)
        n += (size_t)got;
    output[n] = '\0';
    close(fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

struct ask {
    const char *host;
    int port;
    const char *path;
};

static void run_ask(const void *data)
{
    const struct ask *ask = data;
    int status = healthcheck(ask->host, ask->port, ask->path);
    fflush(stdout);
    _exit(status);
}

static int ask_server(struct server *s, const char *host, const char *path)
{
    pid_t pid;
    int fd = start(&pid, run_ask, &(struct ask){host, s->port, path});
    return finish(s, pid, fd);
}

static void test_answers(struct server *s)
{
    bus_fault = NULL;
    check(ask_server(s, "127.0.0.1", "/readyz") == 0, "0 when it is ready");
    check_slice(slice_of(output), SLICE("{\"status\":\"ready\"}\n"), "with one line");
    bus_fault = "the bus is away";
    check(ask_server(s, "127.0.0.1", "/readyz") == 1, "1 when it is not");
    check_slice(slice_of(output), SLICE("{\"status\":\"not ready\",\"checks\":{\"bus\":\"the bus is away\"}}\n"),
                "with the reason");
    check(ask_server(s, "127.0.0.1", "/healthz") == 0, "but it is alive");
    static const char *const hosts[] = {"", "0.0.0.0", "localhost"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); ++i)
        check(ask_server(s, hosts[i], "/healthz") == 0, "it is found when the host is '%s'", hosts[i]);
    check(ask_server(s, "no-such-host.invalid", "/healthz") == 1 && strstr(output, "no-such-host.invalid port ") == output,
          "a host that isn't is named: %s", output);
}

static void run_config(const void *data)
{
    struct settings settings;
    char *const *words = (char *const *)data;
    int count = 1;
    char *argv[5] = {"test_healthcheck", NULL, NULL, NULL, NULL};
    for (; words[count - 1] != NULL; ++count)
        argv[count] = words[count - 1];
    config_main(&table, &settings, count, argv);
}

static int run_main(struct server *s, const char *one, const char *two, const char *three)
{
    pid_t pid;
    const char *words[] = {one, two, three, NULL};
    int fd = start(&pid, run_config, words);
    return finish(s, pid, fd);
}

static void test_settings(struct server *s)
{
    char port[16];
    snprintf(port, sizeof(port), "%d", s->port);
    bus_fault = "away";
    setenv("ADMIN_PORT", port, 1);
    setenv("OTHER", "nonsense", 1);
    check(run_main(s, "healthcheck", NULL, NULL) == 1 && strstr(output, "away") != NULL, "healthcheck asks /readyz: %s", output);
    check(run_main(s, "healthcheck", "--live", NULL) == 0, "--live asks /healthz: %s", output);
    check(run_main(s, "healthcheck", "--wrong", NULL) == 1, "and nothing else is asked");
    check_slice(slice_of(output), SLICE("test_healthcheck: healthcheck accepts only --live\n"), "with a sentence");
    check(run_main(s, "healthcheck", "--live", "x") == 1, "one argument more is too many");
    check(run_main(s, "x", "--live", NULL) == 1 && strstr(output, "only one argument") != NULL, "--live needs its word");
    setenv("ADMIN_PORT", "70000", 1);
    check(run_main(s, "healthcheck", NULL, NULL) == 1 && strstr(output, "ADMIN_PORT: 70000 is above 65535") != NULL,
          "a bad port is named");
    unsetenv("ADMIN_PORT");
    check(run_main(s, "healthcheck", NULL, NULL) == 1 && strstr(output, "ADMIN_PORT: healthcheck needs a fixed port") != NULL,
          "a port of the kernel's choice can't be known");
}

static int listen_alone(int *port)
{
    const char *error;
    int fd = listener_bind("127.0.0.1", 0, port, &error);
    if (fd == -1)
        exit(2);
    return fd;
}

/* Whatever listens there may answer anything, or nothing. */
static void test_strangers(void)
{
    static const struct {
        const char *answer;
        int status;
        const char *said;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\n\r\n{\"a\":1}\n", 0, "{\"a\":1} \n"},
        {"HTTP/1.1 2000 OK\r\n\r\nx", 1, "x\n"},
        {"HTTP/1.1 204 No Content\r\n\r\n", 1, "the answer is 204, without a body\n"},
        {"HTTP/1.1 200 OK\r\n", 1, "the program that answered is not an HTTP server\n"},
        {"SSH-2.0-OpenSSH\r\n\r\n", 1, "the program that answered is not an HTTP server\n"},
        {"HTTP/1.1\r\n\r\n", 1, "the program that answered is not an HTTP server\n"},
        {"", 1, "the program that answered is not an HTTP server\n"},
        {"HTTP/1.1 500 No\r\n\r\na\nb\33c", 1, "a b c\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct ask ask = {"127.0.0.1", 0, "/readyz"};
        char request[200];
        pid_t pid;
        int listening = listen_alone(&ask.port), out = start(&pid, run_ask, &ask), fd;
        while ((fd = accept(listening, NULL, NULL)) == -1)
            usleep(1000);
        ssize_t got = recv(fd, request, sizeof(request), 0);
        bool asked = got > 0 && slice_starts(slice_make(request, (size_t)got), SLICE("GET /readyz HTTP/1.0\r\n"));
        bool sent = send(fd, rows[i].answer, strlen(rows[i].answer), MSG_NOSIGNAL) >= 0;
        close(fd);
        close(listening);
        check(asked && sent && finish(NULL, pid, out) == rows[i].status, "answer %zu is judged", i);
        check_slice(slice_of(output), slice_of(rows[i].said), "and said in one line");
    }
}

static void test_silence(void)
{
    struct ask ask = {"127.0.0.1", 0, "/readyz"};
    pid_t pid;
    int listening = listen_alone(&ask.port);
    uint64_t began = server_now_ms();
    int out = start(&pid, run_ask, &ask), status = finish(NULL, pid, out);
    uint64_t took = server_now_ms() - began;
    close(listening);
    check(status == 1 && took >= HEALTHCHECK_MS - 50 && took < 2000 * 4, "who does not answer is waited for %d ms, not longer (%d)",
          HEALTHCHECK_MS, (int)took);
    check_slice(slice_of(output), SLICE("no answer in time\n"), "and that is said");
    out = start(&pid, run_ask, &ask);
    check(finish(NULL, pid, out) == 1 && strstr(output, "Connection refused") != NULL, "nobody there is said: %s", output);
}

int main(void)
{
    struct server s;
    metrics_init(NULL, 0);
    metrics_thread();
    server_init(&s);
    admin_register(s.host, &(struct admin_options){.ready = ready, .ready_count = 1});
    server_open(&s, 10);
    test_answers(&s);
    test_settings(&s);
    check(server_close(&s), "all connections are gone at the end");
    test_strangers();
    test_silence();
    return check_end();
}
