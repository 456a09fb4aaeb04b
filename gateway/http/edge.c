#include "gateway/http/edge.h"

#include "gateway/counters.h"
#include "gateway/http/page.h"
#include "gateway/http/upstream.h"
#include "runtime/net/cors.h"
#include "runtime/http.h"

/* Those that have a meaning here, and those that htmx sends with each request. */
#define ALLOWED_HEADERS                                                                                                       \
    "accept, authorization, cache-control, content-type, idempotency-key, if-none-match, last-event-id, sse-end, sse-event, " \
    "sse-history-length, sse-history-ttl, sse-id, sse-lease, "                                                                \
    "sse-retry, hx-boosted, hx-current-url, hx-request, hx-request-type, hx-source, hx-target"

static enum cors_verdict judge(h2o_req_t *req)
{
    const struct site *site = site_of(req);
    return origin_verdict(site->cors_origins, site->proxies, req);
}

void edge_add_headers(h2o_req_t *req)
{
    const struct site *site = site_of(req);
    enum cors_verdict verdict = judge(req);
    switch (verdict) {
    case CORS_LISTED:
        http_add_header(req, "access-control-allow-origin", http_header(req, "origin"));
        http_add_header(req, "access-control-allow-credentials", SLICE("true"));
        break;
    case CORS_ANY:
        http_add_header(req, "access-control-allow-origin", SLICE("*"));
        break;
    case CORS_NONE:
    case CORS_REFUSED:
        break;
    }
    if (verdict == CORS_LISTED || verdict == CORS_ANY)
        http_add_header(req, "access-control-expose-headers", SLICE("sse-gateway, retry-after"));
    http_add_header(req, "vary", SLICE("origin"));
    http_add_header(req, "sse-gateway", slice_of(site->node));
    if (site->force_ssl && origin_of(site->proxies, req).https)
        http_add_header(req, "strict-transport-security", SLICE("max-age=31536000"));
}

/* Requests by what they were for and how they came out. */
static void count(h2o_req_t *req, int status)
{
    struct slice target = http_target(req);
    bool post = http_method_is(req, "POST"), get = http_method_is(req, "GET") || http_method_is(req, "HEAD");
    bool page = slice_eq(target, SLICE("/")) || slice_starts(target, SLICE(PAGE_ASSETS));
    enum request_kind kind = status == 404 || status == 405 ? REQUEST_OTHER
                             : post                         ? REQUEST_PUBLISH
                             : !get                         ? REQUEST_OTHER
                             : page                         ? REQUEST_PAGE
                                                            : REQUEST_STREAM;
    http_count((size_t)COUNT_REQUESTS + (size_t)kind * HTTP_CLASSES, status);
}

void edge_count_stream(h2o_req_t *req)
{
    count(req, 200);
}

static void on_setup_ostream(h2o_filter_t *filter, h2o_req_t *req, h2o_ostream_t **slot)
{
    (void)filter;
    upstream_answered(req);
    count(req, req->res.status);
    edge_add_headers(req);
    h2o_setup_next_ostream(req, slot);
}

void edge_register(h2o_pathconf_t *path)
{
    h2o_create_filter(path, sizeof(h2o_filter_t))->on_setup_ostream = on_setup_ostream;
}

bool edge_redirect(h2o_req_t *req)
{
    const struct site *site = site_of(req);
    struct origin origin = origin_of(site->proxies, req);
    if (!site->force_ssl || origin.https)
        return false;
    struct slice url = origin_https_url(req, &origin, site->tls_port);
    if (url.p == NULL) {
        http_error(req, 400, "this host and path cannot be redirected to https");
        return true;
    }
    bool safe = http_method_is(req, "GET") || http_method_is(req, "HEAD");
    http_add_header(req, "location", url);
    http_send(req, safe ? 301 : 307, "text/plain; charset=utf-8", SLICE("https only\n"));
    return true;
}

bool edge_refuse_origin(h2o_req_t *req)
{
    if (judge(req) != CORS_REFUSED)
        return false;
    http_error(req, 403, "this origin is not in CORS_ORIGINS");
    return true;
}

void edge_options(h2o_req_t *req, const char *allow)
{
    if (edge_refuse_origin(req))
        return;
    http_add_header(req, "allow", slice_of(allow));
    if (http_header(req, "access-control-request-method").p != NULL) {
        http_add_header(req, "access-control-allow-methods", slice_of(allow));
        http_add_header(req, "access-control-allow-headers", SLICE(ALLOWED_HEADERS));
        http_add_header(req, "access-control-max-age", SLICE("86400"));
    }
    static h2o_generator_t none;
    req->res.status = 204;
    req->res.reason = "No Content";
    h2o_start_response(req, &none);
    h2o_send(req, NULL, 0, H2O_SEND_STATE_FINAL);
}
