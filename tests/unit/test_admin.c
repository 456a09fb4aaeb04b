/* runtime/admin, over a real server. */
#include "runtime/admin.h"

#include "runtime/metrics.h"
#include "server.h"

static const char *bus_fault, *disk_fault, *thread_fault;

static const char *check_fault(void *data)
{
    return *(const char **)data;
}

static const struct admin_check ready[] = {{"bus", check_fault, &bus_fault}, {"disk", check_fault, &disk_fault}};
static const struct admin_check alive[] = {{"worker 0", check_fault, &thread_fault}};
static const struct admin_options options = {ready, 2, alive, 1, true};

static const struct metric table[] = {{"sse_tries_total", NULL, METRIC_COUNTER, "Tries."}};

static struct slice ask(struct server *s, const char *method, const char *path)
{
    char request[200];
    snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", method, path);
    return server_ask(s, slice_of(request));
}

static bool answers(struct slice answer, const char *status, const char *body)
{
    const char *at = memmem(answer.p, answer.n, "\r\n\r\n", 4);
    return slice_starts(slice_from(answer, answer.n < 9 ? answer.n : 9), slice_of(status)) && at != NULL &&
           strcmp(at + 4, body) == 0;
}

static bool holds(struct slice answer, const char *text)
{
    return memmem(answer.p, answer.n, text, strlen(text)) != NULL;
}

static void test_health(struct server *s)
{
    bus_fault = "down";
    check(answers(ask(s, "GET", "/healthz"), "200 OK", "{\"status\":\"ok\"}"),
          "/healthz is ok, whatever the checks of /readyz say");
    check(answers(ask(s, "GET", "/healthz?x=1"), "200 OK", "{\"status\":\"ok\"}"), "a query changes nothing");
    struct slice answer = ask(s, "HEAD", "/healthz");
    check(answers(answer, "200 OK", "") && holds(answer, "Content-Length: 15\r\n"), "HEAD gets the head alone");
    check(holds(answer, "cache-control: no-store\r\n"), "no cache keeps it");
    thread_fault = "stuck";
    check(
        answers(ask(s, "GET", "/healthz"), "503 Service Unavailable", "{\"status\":\"stuck\",\"checks\":{\"worker 0\":\"stuck\"}}"),
        "a thread that hangs is named");
    thread_fault = NULL;
    answer = ask(s, "POST", "/healthz");
    check(answers(answer, "405 Method Not Allowed", "{\"error\":\"this path allows only GET and HEAD\"}") &&
              holds(answer, "allow: GET, HEAD\r\n"),
          "other methods get 405 and are told which are possible");
    check(answers(ask(s, "GET", "/healthz/x"), "404 Not Found", "{\"error\":\"not found\"}"), "below the path there is nothing");
    check(answers(ask(s, "GET", "/other"), "404 Not Found", "{\"error\":\"not found\"}"), "nor beside it");
    check(holds(ask(s, "GET", "/"), "href=\"status\""), "but / has links to what there is");
    check(holds(server_ask(s, SLICE("GET /metrics HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n")),
                " 421 Misdirected Request"),
          "a foreign name is refused");
}

static void test_ready(struct server *s)
{
    bus_fault = disk_fault = NULL;
    thread_fault = "stuck";
    check(answers(ask(s, "GET", "/readyz"), "200 OK", "{\"status\":\"ready\"}"), "ready when every check is good");
    bus_fault = "the password was \"refused\"";
    check(answers(ask(s, "GET", "/readyz"), "503 Service Unavailable",
                  "{\"status\":\"not ready\",\"checks\":{\"bus\":\"the password was \\\"refused\\\"\"}}"),
          "a check that fails is named");
    disk_fault = "full";
    bus_fault = "down";
    check(answers(ask(s, "GET", "/readyz"), "503 Service Unavailable",
                  "{\"status\":\"not ready\",\"checks\":{\"bus\":\"down\",\"disk\":\"full\"}}"),
          "so are all of them");
    bus_fault = NULL;
    check(answers(ask(s, "GET", "/readyz"), "503 Service Unavailable", "{\"status\":\"not ready\",\"checks\":{\"disk\":\"full\"}}"),
          "and only those");
}

static void test_metrics(struct server *s)
{
    metric_add(0, 42);
    struct slice answer = ask(s, "GET", "/metrics");
    check(slice_starts(answer, SLICE("HTTP/1.1 200 OK\r\n")) &&
              holds(answer, "content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
          "/metrics is Prometheus text");
    check(holds(answer, "\nsse_tries_total 42\n") && holds(answer, "\nprocess_open_fds "),
          "with the program's rows and the process's");
}

int main(void)
{
    struct server s;
    metrics_init(table, 1);
    metrics_thread();
    server_init(&s);
    admin_register(s.host, &options);
    server_open(&s, 10);
    test_health(&s);
    test_ready(&s);
    test_metrics(&s);
    check(server_close(&s), "all connections are gone at the end");
    return check_end();
}
