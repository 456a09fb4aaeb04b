#include "gateway/gateway.h"

#include <stdio.h>
#include <unistd.h>

#include "gateway/counters.h"
#include "gateway/http/routes.h"
#include "gateway/stream_log.h"
#include "proto/channel.h"
#include "runtime/file_limit.h"
#include "runtime/h2o/h2_work.h"
#include "runtime/monotonic.h"

enum {
    ADMIN_CONNECTIONS = 64,
    OTHER_FILES = 192, /* descriptors that are not client connections: loops, queues, Redis, the admin port */
    WORKERS_IN_OTHER_FILES = 8, /* … of that many workers; each further one takes */
    WORKER_FILES = 8,
    FORWARDS_MIN = 64, /* POSTs that may be under way to the publisher, a descriptor each; or a 64th of all descriptors */
    FORWARDS_MAX = 4096,
    HEAD_TIMEOUT_MS = 10000,
    DRAIN_POLL_MS = 50,
    DRAIN_EXTRA_S = 5, /* for clients that are slow to take the end */
    LINGER_MS = 1000,
};

static struct gateway *gateway_of(void *service)
{
    return H2O_STRUCT_FROM_MEMBER(struct gateway, options.service, service);
}

/* ---- settings and ports ---- */

static const char *parse_options(struct gateway *gateway)
{
    const struct options *options = &gateway->options;
    const struct service *service = &options->service;
    struct site *site = &gateway->site;
    read_preference_weights_parse(&gateway->weights, options->subscribe_weights);
    if (service->redis.kind != REDIS_CLUSTER && gateway->weights.replica != 0)
        return "SUBSCRIBE_WEIGHTS: replicas are for redis-cluster://, which REDIS_URL is not";
    site->publisher.text = options->publisher_url;
    if (h2o_url_parse(options->publisher_url, SIZE_MAX, &site->publisher.url) != 0)
        return "PUBLISHER_URL: does not parse"; /* it passed its check */
    site->cors_origins = service->cors_origins;
    site->force_ssl = options->force_ssl;
    site->demo = service->demo;
    site->proxies = service->proxies;
    site->limits = limits_create(&service->limits);
    site->max_channels = (uint32_t)options->max_channels;
    site->node = service->node;
    return options_check(options);
}

/* How many workers, connections and forwarded POSTs: the descriptors of each are kept apart, so none of them can take another's. */
static const char *share_files(struct gateway *gateway)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    gateway->worker_count = gateway->options.threads != 0 ? (uint32_t)gateway->options.threads : cores > 0 ? (uint32_t)cores : 1;
    size_t further = gateway->worker_count > WORKERS_IN_OTHER_FILES ? gateway->worker_count - WORKERS_IN_OTHER_FILES : 0;
    size_t forwards = file_limit_limit() / 64;
    forwards = forwards < FORWARDS_MIN ? FORWARDS_MIN : forwards > FORWARDS_MAX ? FORWARDS_MAX : forwards;
    gateway->site.publisher.max_under_way = forwards;
    size_t reserve = OTHER_FILES + further * WORKER_FILES + forwards;
    return file_limit_for_connections((size_t)gateway->options.max_connections, reserve, &gateway->max_connections);
}

/* For https://: of connections to the publisher. */
static const char *load_publisher_tls(struct service *service)
{
    struct gateway *gateway = gateway_of(service);
    const struct options *options = &gateway->options;
    const struct tls_client_files files = {.ca = {"PUBLISHER_CA", options->publisher_ca},
                                           .cert = {"PUBLISHER_CERT", options->publisher_cert},
                                           .key = {"PUBLISHER_KEY", options->publisher_key}};
    const h2o_url_t *url = &gateway->site.publisher.url;
    const char *error = NULL;
    char host[256];
    if (url->scheme != &H2O_URL_SCHEME_HTTPS)
        return NULL;
    snprintf(host, sizeof(host), "%.*s", (int)url->host.len, url->host.base);
    SSL_CTX *ctx = tls_client(&files, host, &error);
    if (ctx == NULL)
        return error;
    tls_client_log(ctx);
    SSL_CTX_free(service->own_tls);
    service->own_tls = ctx;
    return NULL;
}

void gateway_listen(struct gateway *gateway)
{
    struct options *options = &gateway->options;
    struct service *service = &options->service;
    int port;
    gateway->fd = service_bind("public", "PORT", service->host, service->port, &port);
    gateway->site.tls_port = service->tls == NULL ? 0 : port;
    gateway->plain_fd =
        options->http_port == -1 ? -1 : service_bind("plain", "HTTP_PORT", service->host, options->http_port, &port);
    service->admin_fd = service_bind("admin", "ADMIN_PORT", service->admin_host, service->admin_port, &port);
}

/* ---- the start ---- */

/* A port is full when all workers' shares of it are. */
static void check_capacity(struct gateway *gateway)
{
    struct service *service = &gateway->options.service;
    const char *setting = gateway->options.max_connections != 0 ? "MAX_CONNECTIONS" : "the limit on open files";
    size_t limit = gateway->worker_options.max_connections * gateway->worker_count;
    gateway->capacity[0] = (struct capacity){setting, "PORT", COUNT_CONNECTIONS, COUNT_PLAIN_CONNECTIONS, limit, ""};
    gateway->capacity[1] = (struct capacity){setting, "HTTP_PORT", COUNT_PLAIN_CONNECTIONS, 0, limit, ""};
    service_add_check(service, "connections", capacity_why, &gateway->capacity[0]);
    if (gateway->plain_fd != -1)
        service_add_check(service, "plain connections", capacity_why, &gateway->capacity[1]);
}

static void configure(struct gateway *gateway)
{
    h2o_globalconf_t *conf = &gateway->conf;
    service_configure(&gateway->options.service, conf);
    conf->http1.req_timeout = HEAD_TIMEOUT_MS;
    conf->http1.upgrade_to_http2 = gateway->options.http2_cleartext;
    conf->http2.latency_optimization.min_rtt = UINT_MAX;
    gateway->hosts[0] = h2o_config_register_host(conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    routes_register(&gateway->site, gateway->hosts[0], gateway->options.service.own_tls);
}

static void on_watched(void *data, bool watched)
{
    feed_hear_nodes(((struct gateway *)data)->feed, watched);
}

static void configure_admin(struct gateway *gateway)
{
    struct service *service = &gateway->options.service;
    h2o_config_init(&gateway->admin_conf);
    gateway->admin_conf.server_name = gateway->conf.server_name;
    service_register_admin(service, &gateway->admin_conf,
                           (struct admin_options){.has_status = service->status_ms != 0,
                                                  .alive = gateway->alive,
                                                  .alive_count = gateway->alone ? 0 : gateway->worker_count});
    if (service->status_ms != 0)
        gateway->status = status_register(service->admin[0], on_watched, gateway);
}

/* Heard only while a stream of status.h is open. */
static void on_node(void *data, struct slice text)
{
    struct gateway *gateway = data;
    status_heard(gateway->status, text);
}

static void start_feed(struct gateway *gateway)
{
    const struct options *options = &gateway->options;
    struct feed_options feed = {
        .loop = gateway->ctx.loop,
        .queue = gateway->ctx.queue,
        .getaddr = &gateway->ctx.receivers.hostinfo_getaddr,
        .url = &options->service.redis,
        .redis_timeout_ms = (uint64_t)options->service.redis_timeout_ms,
        .weights = gateway->weights,
        .ring_frames = (uint32_t)options->ring_len,
        .ring_bytes = (size_t)options->ring_bytes,
        .ring_memory = (size_t)options->ring_memory,
        .max_channels = (size_t)options->max_channels,
        .workers = gateway->updates,
        .worker_count = gateway->worker_count,
        .local = gateway->alone,
        .on_node = on_node,
        .data = gateway,
    };
    gateway->feed = feed_open(&feed);
    gateway->site.bus.feed = gateway->feed;
    gateway->site.bus.usable = feed_usable;
    gateway->site.bus.room = feed_room;
    gateway->site.bus.promise = feed_promise;
    gateway->site.bus.give_back = feed_give_back;
    gateway->site.bus.behind = feed_is_behind;
}

/* Each worker and port has an even share of the connections. */
static void prepare_workers(struct gateway *gateway)
{
    size_t share = gateway->max_connections / gateway->worker_count / (gateway->plain_fd == -1 ? 1 : 2);
    gateway->worker_options = (struct worker_options){.settings = &gateway->options,
                                                      .site = &gateway->site,
                                                      .conf = &gateway->conf,
                                                      .hosts = gateway->hosts,
                                                      .count = gateway->worker_count,
                                                      .fd = gateway->fd,
                                                      .plain_fd = gateway->plain_fd,
                                                      .max_connections = share == 0 ? 1 : share,
                                                      .tls = gateway->options.service.tls,
                                                      .access = gateway->options.service.access,
                                                      .barrier = &gateway->barrier};
    gateway->workers = h2o_mem_alloc(gateway->worker_count * sizeof(*gateway->workers));
    gateway->alive = h2o_mem_alloc(gateway->worker_count * sizeof(*gateway->alive));
    gateway->updates = h2o_mem_alloc(gateway->worker_count * sizeof(*gateway->updates));
    memset(gateway->workers, 0, gateway->worker_count * sizeof(*gateway->workers));
    gateway->alone = gateway->worker_count == 1;
}

/* Each worker has its hub when this returns. */
static void start_workers(struct gateway *gateway)
{
    h2_work_threads(gateway->worker_count);
    if (gateway->alone) {
        worker_open(&gateway->workers[0], &gateway->worker_options, 0, gateway->ctx.loop);
        return;
    }
    pthread_barrier_init(&gateway->barrier, NULL, gateway->worker_count + 1);
    for (uint32_t i = 0; i < gateway->worker_count; ++i)
        worker_start(&gateway->workers[i], &gateway->worker_options, i);
    pthread_barrier_wait(&gateway->barrier);
    for (uint32_t i = 0; i < gateway->worker_count; ++i) {
        struct worker *worker = &gateway->workers[i];
        gateway->alive[i] = (struct admin_check){.name = worker->name, .run = watchdog_why, .data = &worker->watchdog};
        watchdog_watch(&worker->watchdog, gateway->ctx.loop);
    }
}

static void start_accepting(struct gateway *gateway)
{
    if (gateway->alone) {
        worker_accept(&gateway->workers[0]);
        return;
    }
    pthread_barrier_wait(&gateway->barrier);
    pthread_barrier_wait(&gateway->barrier);
}

void gateway_start(struct gateway *gateway)
{
    prepare_workers(gateway);
    file_limit_warn((size_t)gateway->options.max_connections, gateway->max_connections);
    metrics_thread();
    metric_set(COUNT_MAX_CONNECTIONS, (int64_t)gateway->max_connections);
    metric_set(COUNT_MEMORY_LIMIT, gateway->options.memory_limit);
    check_capacity(gateway);
    configure(gateway);
    configure_admin(gateway);
    h2o_context_init(&gateway->ctx, h2o_evloop_create(), &gateway->admin_conf);
    start_workers(gateway);
    for (uint32_t i = 0; i < gateway->worker_count; ++i)
        gateway->updates[i] = hub_updates(gateway->workers[i].site.hub);
    start_feed(gateway);
    for (uint32_t i = 0; i < gateway->worker_count; ++i)
        hub_connect(gateway->workers[i].site.hub, feed_requests(gateway->feed), gateway->alone);
    service_start(&gateway->options.service, &gateway->ctx, ADMIN_CONNECTIONS);
    start_accepting(gateway);
    close(gateway->fd);
    if (gateway->plain_fd != -1)
        close(gateway->plain_fd);
}

/* ---- what the service asks for ---- */

/* Its own page hears it even while the bus is away, and once more over the bus; the page tells twins by their number. */
static void announce(void *service, struct slice json)
{
    struct gateway *gateway = gateway_of(service);
    status_own(gateway->status, json);
    feed_announce(gateway->feed, json);
}

static const char *bus_why(void *service)
{
    return feed_why(gateway_of(service)->feed);
}

/* Stops when the last stream is gone, and a little later, so that what was answered on other connections is out. */
static void on_drain_timer(void *data)
{
    struct gateway *gateway = data;
    uint64_t now = monotonic_ms();
    if (metric_sum(COUNT_STREAMS) != 0)
        gateway->drained_ms = 0;
    else if (gateway->drained_ms == 0)
        gateway->drained_ms = now;
    if (gateway->drained_ms != 0 && (metric_sum(COUNT_CONNECTIONS) == 0 || now - gateway->drained_ms > LINGER_MS))
        service_finished(&gateway->options.service);
    timer_start(&gateway->drain_timer, DRAIN_POLL_MS);
}

static void drain(struct service *service, const char *signal)
{
    struct gateway *gateway = gateway_of(service);
    log_info("draining", log_str("signal", signal), log_int("streams", metric_sum(COUNT_STREAMS)));
    for (uint32_t i = 0; i < gateway->worker_count; ++i)
        worker_drain(&gateway->workers[i], (uint64_t)gateway->options.drain_s * 1000);
    timer_init(&gateway->drain_timer, gateway->ctx.loop, on_drain_timer, gateway);
    timer_start(&gateway->drain_timer, DRAIN_POLL_MS);
}

static void reload(struct service *service)
{
    struct gateway *gateway = gateway_of(service);
    struct service_reloaded reloaded = service_reload(service);
    for (uint32_t i = 0; i < gateway->worker_count; ++i) {
        if (reloaded.certificates)
            worker_set_tls(&gateway->workers[i], service->tls, service->own_tls);
        if (reloaded.access)
            worker_set_access(&gateway->workers[i], service->access);
    }
}

const char *gateway_prepare(void *options)
{
    static const struct service_program program = {
        .name = "sse-gateway",
        .rows = {.h2_abuse = COUNT_H2_ABUSE,
                 .bodies = COUNT_BODIES,
                 .reloads = COUNT_RELOADS,
                 .refused = COUNT_REFUSED,
                 .certificate = COUNT_CERTIFICATE,
                 .redis_certificate = COUNT_REDIS_CERTIFICATE,
                 .own_certificate = COUNT_PUBLISHER_CERTIFICATE,
                 .draining = COUNT_DRAINING},
        .announcement = &counters_announced,
        .announce = announce,
        .bus_why = bus_why,
        .load_own_tls = load_publisher_tls,
        .reload = reload,
        .drain = drain,
    };
    struct gateway *gateway = H2O_STRUCT_FROM_MEMBER(struct gateway, options, options);
    struct service *service = &gateway->options.service;
    channel_set_prefix(service->redis_prefix);
    const char *error = service_prepare(service, &program, channel_prefix_is_own(service->redis_prefix));
    stream_log_init(gateway->options.log_streams);
    if (error == NULL)
        error = parse_options(gateway);
    if (error == NULL)
        error = share_files(gateway);
    return error == NULL ? service_load_certificates(service) : error;
}

/* ---- the bus thread's loop ---- */

/* What a turn of the loop is followed by; true when the next must not sleep. */
static bool turn(struct gateway *gateway)
{
    bool more = feed_take_requests(gateway->feed);
    feed_turn(gateway->feed);
    return more;
}

/* Live events go first. What the worker asked may be answered at once, so there may be more to tell. */
static bool turn_alone(struct gateway *gateway)
{
    feed_turn(gateway->feed);
    bool more = hub_turn(gateway->workers[0].site.hub);
    more = feed_take_requests(gateway->feed) || more;
    worker_pace(&gateway->workers[0]);
    return feed_turn(gateway->feed) || more;
}

void gateway_run(struct gateway *gateway)
{
    const struct service *service = &gateway->options.service;
    service_run(&gateway->options.service, gateway->ctx.loop, (unsigned)gateway->options.drain_s + DRAIN_EXTRA_S);
    for (bool more = false; service->state != SERVICE_DONE;) {
        h2o_evloop_run(gateway->ctx.loop, more ? 0 : INT32_MAX);
        more = gateway->alone ? turn_alone(gateway) : turn(gateway);
    }
    log_info("stopped");
}
