#include "runtime/admin.h"

#include <stdlib.h>

#include "runtime/admin_host.h"
#include "runtime/http.h"
#include "runtime/json.h"
#include "runtime/metrics.h"

struct handler {
    h2o_handler_t super;
    const char *path;
    void (*answer)(struct handler *handler, h2o_req_t *req);
    const char *good, *bad; /* /healthz and /readyz: the status when no check fails, and else */
    const struct admin_check *checks;
    size_t count;
    bool has_status; /* of the index */
};

const char *admin_first_failure(const struct admin_check *checks, size_t count)
{
    const char *why = NULL;
    for (size_t i = 0; why == NULL && i < count; ++i)
        why = checks[i].run(checks[i].data);
    return why;
}

static void answer_metrics(struct handler *handler, h2o_req_t *req)
{
    (void)handler;
    size_t n;
    char *text = metrics_render(&n);
    http_send(req, 200, "text/plain; version=0.0.4; charset=utf-8", slice_make(text, n));
    free(text);
}

/* Appends `"name":"why"`, after a comma unless it is the first, in the request's pool. */
static h2o_iovec_t append_failure(h2o_req_t *req, h2o_iovec_t text, const char *name, const char *why)
{
    struct slice key = slice_of(name), value = slice_of(why);
    char *item = h2o_mem_alloc_pool(&req->pool, json_quoted_max(key.n) + json_quoted_max(value.n) + 2);
    size_t n = 0;
    if (text.len != 0)
        item[n++] = ',';
    n += json_quote(item + n, key);
    item[n++] = ':';
    n += json_quote(item + n, value);
    return h2o_concat(&req->pool, text, h2o_iovec_init(item, n));
}

static void answer_checks(struct handler *handler, h2o_req_t *req)
{
    h2o_iovec_t failures = {NULL, 0};
    for (size_t i = 0; i < handler->count; ++i) {
        const char *why = handler->checks[i].run(handler->checks[i].data);
        if (why != NULL)
            failures = append_failure(req, failures, handler->checks[i].name, why);
    }
    const char *status = failures.len == 0 ? handler->good : handler->bad;
    h2o_iovec_t body = h2o_concat(&req->pool, h2o_iovec_init(H2O_STRLIT("{\"status\":\"")), h2o_iovec_init(status, strlen(status)));
    if (failures.len == 0)
        body = h2o_concat(&req->pool, body, h2o_iovec_init(H2O_STRLIT("\"}")));
    else
        body =
            h2o_concat(&req->pool, body, h2o_iovec_init(H2O_STRLIT("\",\"checks\":{")), failures, h2o_iovec_init(H2O_STRLIT("}}")));
    http_send(req, failures.len == 0 ? 200 : 503, "application/json", slice_of_iovec(body));
}

static void answer_index(struct handler *handler, h2o_req_t *req)
{
    static const char head[] =
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Admin port</title><h1>Admin port</h1><ul>",
                      status[] = "<li><a href=\"status\">/status</a>: all gateways and publishers, live",
                      tail[] = "<li><a href=\"readyz\">/readyz</a>: whether it should get clients"
                               "<li><a href=\"healthz\">/healthz</a>: whether it is alive"
                               "<li><a href=\"metrics\">/metrics</a>: for Prometheus</ul></html>\n";
    h2o_iovec_t body = h2o_concat(&req->pool, h2o_iovec_init(H2O_STRLIT(head)),
                                  handler->has_status ? h2o_iovec_init(H2O_STRLIT(status)) : h2o_iovec_init(H2O_STRLIT("")),
                                  h2o_iovec_init(H2O_STRLIT(tail)));
    http_add_header(req, "content-security-policy", SLICE("default-src 'none'; frame-ancestors 'none'"));
    http_send(req, 200, "text/html; charset=utf-8", slice_of_iovec(body));
}

bool admin_refuse(h2o_req_t *req)
{
    if (!admin_host_good(slice_of_iovec(req->input.authority))) {
        http_error(req, 421, "the admin port is not asked for by this name; ADMIN_HOSTS can list it");
        return true;
    }
    if (http_method_is(req, "GET") || http_method_is(req, "HEAD"))
        return false;
    http_add_header(req, "allow", SLICE("GET, HEAD"));
    http_error(req, 405, "this path allows only GET and HEAD");
    return true;
}

static int on_request(h2o_handler_t *self, h2o_req_t *req)
{
    struct handler *handler = (struct handler *)self;
    struct slice path = http_path(req);
    /* libh2o hands over what lies below a path as well. */
    if (path.p == NULL || !slice_eq(path, slice_of(handler->path)))
        return -1;
    if (admin_refuse(req))
        return 0;
    http_add_header(req, "cache-control", SLICE("no-store"));
    handler->answer(handler, req);
    return 0;
}

/* The index is what is asked for where no other path begins the one asked for: libh2o takes the first that does, and "/" always would. */
static struct handler *add(h2o_hostconf_t *host, const char *path, void (*answer)(struct handler *handler, h2o_req_t *req))
{
    h2o_pathconf_t *conf = path[1] == '\0' ? &host->fallback_path : h2o_config_register_path(host, path, 0);
    struct handler *handler = (struct handler *)h2o_create_handler(conf, sizeof(*handler));
    handler->super.on_req = on_request;
    handler->path = path;
    handler->answer = answer;
    return handler;
}

void admin_register(h2o_hostconf_t *host, const struct admin_options *options)
{
    add(host, "/", answer_index)->has_status = options->has_status;
    add(host, "/metrics", answer_metrics);
    struct handler *alive = add(host, "/healthz", answer_checks);
    alive->good = "ok";
    alive->bad = "stuck";
    alive->checks = options->alive;
    alive->count = options->alive_count;
    struct handler *ready = add(host, "/readyz", answer_checks);
    ready->good = "ready";
    ready->bad = "not ready";
    ready->checks = options->ready;
    ready->count = options->ready_count;
}
