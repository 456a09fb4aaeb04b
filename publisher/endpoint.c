#include "publisher/endpoint.h"

#include "publisher/answer.h"
#include "publisher/batch.h"
#include "publisher/counters.h"
#include "runtime/http.h"
#include "runtime/monotonic.h"

struct endpoint {
    h2o_handler_t super;
    struct publish *const *bus;
    const struct options *options;
    struct limits *limits; /* lives as long as the process */
};

/* A publish of one event. */
struct single {
    struct answer answer;
    enum post_route route;
};

static void on_published(void *data, const struct publish_answer *answer)
{
    struct single *single = data;
    enum post_route route = single->route;
    int status = answer_status(answer->outcome);
    answer_count(&single->answer, answer->outcome, 1);
    h2o_req_t *req = answer_take(&single->answer);
    free(single);
    if (req == NULL)
        return;
    if (status != 0)
        answer_refuse(req, status, answer->why);
    else if (route == POST_LEGACY)
        http_send(req, 303, "text/plain; charset=utf-8", SLICE("broadcasted"));
    else
        http_send(req, 200, "application/json", http_json_text(req, SLICE("id"), answer->id));
}

static void send_one(struct publish *bus, h2o_req_t *req, const struct post *post, uint64_t began_us)
{
    struct single *single = h2o_mem_alloc(sizeof(*single));
    single->route = post->route;
    answer_await(&single->answer, req, began_us);
    publish_send(bus, &post->publish, on_published, single);
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

/* Each event of a batch counts. */
static void send_many(const struct endpoint *endpoint, h2o_req_t *req, const struct post *post, uint64_t began_us)
{
    if (limits_on_publishing(endpoint->limits)) {
        struct client_address client = proxies_client(endpoint->options->service.proxies, req);
        limits_publish_more(endpoint->limits, &client, (uint32_t)post->lines.count - 1, monotonic_us());
    }
    batch_send(*endpoint->bus, req, post, began_us);
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
    if (why != NULL)
        http_error(req, status, why);
    else if (post.lines.count != 0)
        send_many(endpoint, req, &post, began_us);
    else
        send_one(*endpoint->bus, req, &post, began_us);
    post_free(&post);
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
