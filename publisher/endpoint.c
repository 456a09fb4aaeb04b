#include "publisher/endpoint.h"

#include "publisher/counters.h"
#include "publisher/post.h"
#include "runtime/http.h"
#include "runtime/monotonic.h"

struct endpoint {
    h2o_handler_t super;
    struct publish *const *bus;
    const struct options *options;
    struct limits *limits; /* lives as long as the process */
};

/* A publish whose answer is awaited. It outlives the request when the client goes first: the hook, which dies with the request's
 * pool, then takes `req` out. */
struct waiting {
    h2o_req_t *req; /* NULL once the request is gone */
    struct waiting **hook; /* in the request's pool */
    enum post_route route;
    uint64_t began_us;
};

static void on_request_gone(void *hook)
{
    struct waiting *waiting = *(struct waiting **)hook;
    if (waiting != NULL)
        waiting->req = NULL;
}

static struct waiting *waiting_new(h2o_req_t *req, enum post_route route, uint64_t began_us)
{
    struct waiting *waiting = h2o_mem_alloc(sizeof(*waiting));
    *waiting = (struct waiting){.req = req, .route = route, .began_us = began_us};
    waiting->hook = h2o_mem_alloc_shared(&req->pool, sizeof(*waiting->hook), on_request_gone);
    *waiting->hook = waiting;
    return waiting;
}

static void waiting_free(struct waiting *waiting)
{
    if (waiting->req != NULL)
        *waiting->hook = NULL;
    free(waiting);
}

static void send_answer(h2o_req_t *req, enum post_route route, const struct publish_answer *answer)
{
    switch (answer->outcome) {
    case PUBLISH_BUS_DOWN:
    case PUBLISH_UNWRITABLE:
        http_error_later(req, 503, 1, answer->why);
        break;
    case PUBLISH_REFUSED:
        http_error(req, 400, answer->why);
        break;
    case PUBLISH_ENDED:
        http_error(req, 409, answer->why);
        break;
    case PUBLISH_CONFLICT:
        http_error(req, 422, answer->why);
        break;
    case PUBLISH_FAILED:
        http_error(req, 500, answer->why);
        break;
    default:
        if (route == POST_LEGACY)
            http_send(req, 303, "text/plain; charset=utf-8", SLICE("broadcasted"));
        else
            http_send(req, 200, "application/json", http_json_text(req, SLICE("id"), answer->id));
    }
}

static void on_published(void *data, const struct publish_answer *answer)
{
    struct waiting *waiting = data;
    h2o_req_t *req = waiting->req;
    enum post_route route = waiting->route;
    metric_add(COUNTER_PUBLISH + answer->outcome, 1);
    if (answer->outcome != PUBLISH_BUS_DOWN && answer->outcome != PUBLISH_UNWRITABLE)
        metric_time(COUNTER_DURATION, monotonic_us() - waiting->began_us);
    waiting_free(waiting);
    if (req != NULL)
        send_answer(req, route, answer);
}

/* False when the request was answered with 429. Before its token is looked at, and its body. */
static bool may_publish(const struct endpoint *endpoint, h2o_req_t *req)
{
    unsigned retry_s;
    if (!limits_on_publishing(endpoint->limits) || !http_method_is(req, "POST"))
        return true;
    struct client_address client = proxies_client(endpoint->options->service.proxies, req);
    enum limit limit = limits_publish(endpoint->limits, &client, monotonic_us(), &retry_s);
    if (limit == LIMIT_NONE)
        return true;
    metric_add(COUNTER_LIMITED, 1);
    http_error_later(req, 429, retry_s, limit_sentence(limit));
    return false;
}

static int on_req(h2o_handler_t *self, h2o_req_t *req)
{
    struct endpoint *endpoint = (struct endpoint *)self;
    uint64_t began_us = monotonic_us();
    struct post post;
    int status;
    if (!may_publish(endpoint, req))
        return 0;
    const char *why = post_read(&post, req, endpoint->options, &status);
    if (why == NULL)
        publish_send(*endpoint->bus, &post.publish, on_published, waiting_new(req, post.route, began_us));
    else
        http_error(req, status, why);
    body_free(&post.body);
    return 0;
}

static void on_answered(h2o_logger_t *self, h2o_req_t *req)
{
    (void)self;
    http_count(COUNTER_STATUS, req->res.status);
}

void endpoint_register(h2o_hostconf_t *host, struct publish *const *bus, const struct options *options)
{
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    struct endpoint *endpoint = (struct endpoint *)h2o_create_handler(path, sizeof(*endpoint));
    endpoint->super.on_req = on_req;
    endpoint->bus = bus;
    endpoint->options = options;
    endpoint->limits = limits_create(&options->service.limits);
    h2o_create_logger(path, sizeof(h2o_logger_t))->log_access = on_answered;
    h2o_create_logger(&host->fallback_path, sizeof(h2o_logger_t))->log_access = on_answered;
}
