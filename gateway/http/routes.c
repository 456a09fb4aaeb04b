#include "gateway/http/routes.h"

#include "gateway/http/admission.h"
#include "gateway/counters.h"
#include "gateway/http/edge.h"
#include "gateway/http/page.h"
#include "gateway/http/open.h"
#include "gateway/http/upstream.h"
#include "proto/channel.h"
#include "runtime/http.h"

#define METHODS_STREAM "GET, HEAD, OPTIONS"
#define METHODS_CHANNEL "GET, HEAD, POST, OPTIONS"
#define METHODS_CHANNELS "POST, OPTIONS"

enum kind {
    ROUTE_PAGE,
    ROUTE_ASSET, /* named by the rest of the path */
    ROUTE_CHANNEL, /* one channel, named in the table */
    ROUTE_NAMED, /* one channel, named by the rest of the path */
    ROUTE_CHANNELS, /* the channels named in the lines of the body */
    ROUTE_SUBSCRIBE, /* the channels named in the query */
};

static const struct route {
    const char *path;
    enum kind kind;
    const char *channel;
    enum welcome welcome;
    enum form form;
    uint32_t replay; /* events a fresh stream begins with */
    bool publish; /* POSTs go to the publisher */
    bool demo; /* there only while the demo is on */
} routes[] = {
    {"/", ROUTE_PAGE, NULL, WELCOME_NOTHING, FORM_LEAN, 0, false, true},
    {PAGE_ASSETS, ROUTE_ASSET, NULL, WELCOME_NOTHING, FORM_LEAN, 0, false, true},
    {"/sse", ROUTE_CHANNEL, "letters", WELCOME_LETTER, FORM_FULL, 0, false, true},
    {"/post", ROUTE_CHANNEL, "post", WELCOME_NOTHING, FORM_FULL, 0, true, true},
    {"/events", ROUTE_CHANNEL, "counter", WELCOME_NOTHING, FORM_FULL, 0, false, true},
    {"/exchange_rates/usd_eur", ROUTE_CHANNEL, "usd_eur", WELCOME_NOTHING, FORM_FULL, 1, false, true},
    {"/channels/", ROUTE_NAMED, NULL, WELCOME_POSITION, FORM_LEAN, 0, true, false},
    {"/channels", ROUTE_CHANNELS, NULL, WELCOME_NOTHING, FORM_LEAN, 0, true, false},
    {"/subscribe", ROUTE_SUBSCRIBE, NULL, WELCOME_POSITION, FORM_LEAN, 0, false, false},
};

static const struct route *find(struct slice path, bool demo)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); ++i) {
        struct slice candidate = slice_of(routes[i].path);
        bool rest = routes[i].kind == ROUTE_NAMED || routes[i].kind == ROUTE_ASSET;
        if (rest ? slice_starts(path, candidate) : slice_eq(path, candidate))
            return demo || !routes[i].demo ? &routes[i] : NULL;
    }
    return NULL;
}

static bool may_subscribe(h2o_req_t *req, struct stream_request *stream, struct refusal *why)
{
    struct access_pass pass;
    const char *error = access_check(site_worker_of(req)->access, req, ACCESS_SUBSCRIBE, stream->channels, stream->count, &pass);
    if (error != NULL) {
        *why = (struct refusal){pass.status, 0, error};
        return false;
    }
    stream->subject = pass.subject;
    stream->spec.life_ms = pass.life_ms;
    stream->spec.key = pass.key;
    return true;
}

static void serve_stream(h2o_req_t *req, const struct route *route, struct slice path)
{
    struct slice accept = http_header(req, "accept");
    bool streams = http_accepts(accept, SLICE("text"), SLICE("event-stream")), demo = route->kind == ROUTE_CHANNEL;
    if (!streams && (demo || !http_accepts(accept, SLICE("application"), SLICE("json")))) {
        http_error(req, 406,
                   demo ? "this path answers with text/event-stream, which the Accept header excludes"
                        : "this path answers with text/event-stream or application/json, which the Accept header excludes");
        return;
    }
    struct stream_request stream = {
        .spec = {.welcome = route->welcome,
                 .form = streams ? route->form : FORM_JSON,
                 .poll = {.limit = STREAM_LIMIT_MAX},
                 .mode = route->replay == 0 ? START_FRESH : START_LAST,
                 .last = route->replay},
    };
    struct limits_place *place;
    struct refusal why = {400, 0, NULL};
    if (route->kind == ROUTE_CHANNEL)
        why.sentence = stream_add_channel(&stream, slice_of(route->channel));
    else if (route->kind == ROUTE_NAMED)
        why.sentence = stream_add_channel(&stream, slice_from(path, strlen(route->path)));
    if (why.sentence == NULL)
        why.sentence = stream_read_query(&stream, req, route->kind == ROUTE_SUBSCRIBE);
    if (why.sentence != NULL || !admission_open(req, &place, &why) || !may_subscribe(req, &stream, &why) ||
        !admission_subject(place, stream.subject, &why) || !stream_serve(req, &stream, &why))
        stream_refuse(req, &stream, &why);
}

static void serve_page(h2o_req_t *req)
{
    if (http_accepts(http_header(req, "accept"), SLICE("text"), SLICE("html")))
        page_serve(req, "index.html");
    else
        http_error(req, 406, "this path answers with text/html, which the Accept header excludes");
}

static const char *methods(const struct route *route)
{
    return route->kind == ROUTE_CHANNELS ? METHODS_CHANNELS : route->publish ? METHODS_CHANNEL : METHODS_STREAM;
}

/* What only the publisher can answer. -1 lets the next handler, the proxy, have it. */
static int pass_on(h2o_req_t *req, const struct route *route, struct slice path)
{
    if (!route->publish || !http_method_is(req, "POST")) {
        http_add_header(req, "allow", slice_of(methods(route)));
        http_error(req, 405,
                   route->kind == ROUTE_CHANNELS ? "this path allows only OPTIONS and POST"
                   : route->publish              ? "this path allows only GET, HEAD, OPTIONS and POST"
                                                 : "this path allows only GET, HEAD and OPTIONS");
        return 0;
    }
    if (edge_refuse_origin(req))
        return 0;
    struct slice channel = {NULL, 0};
    struct refusal why;
    if (route->kind == ROUTE_NAMED)
        channel = slice_from(path, strlen(route->path));
    else if (route->kind == ROUTE_CHANNEL)
        channel = slice_of(route->channel);
    if (!admission_publish(req, &why)) {
        http_error_later(req, why.status, why.retry_s, why.sentence);
        return 0;
    }
    return upstream_begin(req, channel) ? -1 : 0;
}

static int on_req(h2o_handler_t *handler, h2o_req_t *req)
{
    int status;
    (void)handler;
    const char *error = http_head_check(req, &status);
    if (error != NULL) {
        http_error(req, status, error);
        return 0;
    }
    if (edge_redirect(req))
        return 0;
    struct slice path = http_path(req);
    const struct route *route = path.p == NULL ? NULL : find(path, site_of(req)->demo);
    if (path.p == NULL)
        http_error(req, 400, "the path holds a broken percent escape");
    else if (route == NULL)
        http_error(req, 404, "no such path");
    else if (http_method_is(req, "OPTIONS"))
        edge_options(req, methods(route));
    else if (route->kind == ROUTE_CHANNELS || (!http_method_is(req, "GET") && !http_method_is(req, "HEAD")))
        return pass_on(req, route, path);
    else if (route->kind == ROUTE_PAGE)
        serve_page(req);
    else if (route->kind == ROUTE_ASSET)
        page_serve_asset(req, slice_from(path, strlen(route->path)));
    else
        serve_stream(req, route, path);
    return 0;
}

void routes_register(struct site *site, h2o_hostconf_t *host, SSL_CTX *publisher_tls)
{
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    path->error_log.emit_request_errors = host->fallback_path.error_log.emit_request_errors =
        0; /* they print the raw path to stderr */
    edge_register(path);
    h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = on_req;
    upstream_register(site, path, publisher_tls);
}
