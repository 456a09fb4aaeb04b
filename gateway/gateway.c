#include "gateway/gateway.h"

#include <signal.h>
#include <unistd.h>

#include "gateway/announcement.h"
#include "gateway/counters.h"
#include "gateway/http/routes.h"
#include "gateway/stream_log.h"
#include "proto/channel.h"
#include "runtime/file_limit.h"
#include "runtime/h2o/h2_work.h"
#include "runtime/monotonic.h"
#include "runtime/signals.h"
#include "runtime/trim.h"

enum {
    ADMIN_CONNECTIONS = 64,
    OTHER_FILES = 192, /* descriptors that are not client connections: loops, queues, Redis, the admin port */
    WORKERS_IN_OTHER_FILES = 8, /* … of that many workers; each further one takes */
    WORKER_FILES = 8,
    FORWARDS_MIN = 64, /* POSTs that may be under way to the publisher, a descriptor each; or a 64th of all descriptors */
    FORWARDS_MAX = 4096,
    BODY_SLACK = 65536, /* what libh2o takes above BODY_LIMIT, so that the publisher's 413 names the limit */
    HEAD_TIMEOUT_MS = 10000,
    DRAIN_POLL_MS = 50,
    DRAIN_EXTRA_S = 5, /* for clients that are slow to take the end */
    LINGER_MS = 1000,
    IDLE_TIMEOUT_MS = 60000,
};

static void configure(struct gateway *gateway)
{
    h2o_globalconf_t *conf = &gateway->conf;
    h2o_config_init(conf);
    conf->server_name = h2o_iovec_init(H2O_STRLIT("sse-gateway"));
    conf->max_request_entity_size = (size_t)gateway->options.service.body_limit + BODY_SLACK;
    conf->http1.req_timeout = HEAD_TIMEOUT_MS;
    conf->http1.upgrade_to_http2 = gateway->options.http2_cleartext;
    conf->http2.idle_timeout = IDLE_TIMEOUT_MS;
    conf->http2.latency_optimization.min_rtt = UINT_MAX;
    gateway->hosts[0] = h2o_config_register_host(conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    routes_register(&gateway->site, gateway->hosts[0], gateway->certificates.publisher);
}

static void on_watched(void *data, bool watched)
{
    feed_hear_nodes(((struct gateway *)data)->feed, watched);
}

static void configure_admin(struct gateway *gateway)
{
    h2o_config_init(&gateway->admin_conf);
    gateway->admin_conf.server_name = h2o_iovec_init(H2O_STRLIT("sse-gateway"));
    gateway->admin_hosts[0] = h2o_config_register_host(&gateway->admin_conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    admin_register(gateway->admin_hosts[0], &(struct admin_options){.ready = gateway->checks,
                                                                    .ready_count = gateway->check_count,
                                                                    .has_status = gateway->options.service.status_ms != 0,
                                                                    .alive = gateway->alive,
                                                                    .alive_count = gateway->alone ? 0 : gateway->worker_count});
    if (gateway->options.service.status_ms != 0)
        gateway->status = status_register(gateway->admin_hosts[0], on_watched, gateway);
}

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
    site->node = node_name(service->node_name);
    gateway->certificates = (struct certificates){&gateway->options, &site->publisher.url, NULL, NULL};
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

const char *gateway_prepare(void *options)
{
    static const struct service_rows rows = {COUNT_H2_ABUSE, COUNT_BODIES, COUNT_RELOADS};
    struct gateway *gateway = H2O_STRUCT_FROM_MEMBER(struct gateway, options, options);
    struct service *service = &gateway->options.service;
    channel_set_prefix(service->redis_prefix);
    const char *error = service_prepare(service, &rows, channel_prefix_is_own(service->redis_prefix));
    stream_log_init(gateway->options.log_streams);
    if (error == NULL)
        error = parse_options(gateway);
    if (error == NULL)
        error = share_files(gateway);
    return error == NULL ? certificates_load(&gateway->certificates) : error;
}

void gateway_listen(struct gateway *gateway)
{
    const struct options *options = &gateway->options;
    const struct service *service = &options->service;
    int port;
    gateway->fd = service_bind("public", "PORT", service->host, service->port, &port);
    gateway->site.tls_port = gateway->certificates.server == NULL ? 0 : port;
    gateway->plain_fd =
        options->http_port == -1 ? -1 : service_bind("plain", "HTTP_PORT", service->host, options->http_port, &port);
    gateway->admin_fd = service_bind("admin", "ADMIN_PORT", service->admin_host, service->admin_port, &port);
}

/* A port is full when all workers' shares of it are. */
static void check_capacity(struct gateway *gateway)
{
    const char *setting = gateway->options.max_connections != 0 ? "MAX_CONNECTIONS" : "the limit on open files";
    size_t limit = gateway->worker_options.max_connections * gateway->worker_count;
    gateway->capacity[0] = (struct capacity){setting, "PORT", COUNT_CONNECTIONS, COUNT_PLAIN_CONNECTIONS, limit, ""};
    gateway->capacity[1] = (struct capacity){setting, "HTTP_PORT", COUNT_PLAIN_CONNECTIONS, 0, limit, ""};
    gateway->checks[2] = (struct admin_check){.name = "connections", .run = capacity_why, .data = &gateway->capacity[0]};
    gateway->checks[3] = (struct admin_check){.name = "plain connections", .run = capacity_why, .data = &gateway->capacity[1]};
    gateway->check_count = gateway->plain_fd == -1 ? 3 : 4;
}

static void start_admin(struct gateway *gateway)
{
    gateway->admin_accept = (h2o_accept_ctx_t){.ctx = &gateway->ctx, .hosts = gateway->admin_hosts};
    struct listener_options listener = {
        .accept = &gateway->admin_accept, .max_connections = ADMIN_CONNECTIONS, .total = ADMIN_CONNECTIONS, .name = "admin"};
    gateway->admin_listener = listener_start(gateway->admin_fd, &listener);
    close(gateway->admin_fd);
}

static const char *check_drain(void *data)
{
    const struct gateway *gateway = data;
    return gateway->draining ? "shutting down" : NULL;
}

static void count_limits(const struct gateway *gateway)
{
    metric_set(COUNT_MAX_CONNECTIONS, (int64_t)gateway->max_connections);
    metric_set(COUNT_MEMORY_LIMIT, gateway->options.memory_limit);
}

/* Its own page hears it even while the bus is away, and once more over the bus; the page tells twins by their number. */
static void on_announce(void *data, struct slice json)
{
    struct gateway *gateway = data;
    status_own(gateway->status, json);
    feed_announce(gateway->feed, json);
}

static void start_announcing(struct gateway *gateway)
{
    announcement_start(&gateway->announce, (struct announce_options){.loop = gateway->ctx.loop,
                                                                     .node = gateway->site.node,
                                                                     .interval_ms = (uint64_t)gateway->options.service.status_ms,
                                                                     .checks = gateway->checks,
                                                                     .check_count = gateway->check_count,
                                                                     .send = on_announce,
                                                                     .data = gateway});
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
    gateway->checks[0] = (struct admin_check){.name = "bus", .run = feed_why, .data = gateway->feed};
    gateway->checks[1] = (struct admin_check){.name = "drain", .run = check_drain, .data = gateway};
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
                                                      .tls = gateway->certificates.server,
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
    count_limits(gateway);
    certificates_count(&gateway->certificates);
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
    start_announcing(gateway);
    ready_watch_start(&gateway->ready_watch, gateway->ctx.loop, gateway->checks, gateway->check_count);
    start_admin(gateway);
    start_accepting(gateway);
    if (gateway->options.service.access == NULL)
        access_warn_open();
    close(gateway->fd);
    if (gateway->plain_fd != -1)
        close(gateway->plain_fd);
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
    gateway->stopped = gateway->drained_ms != 0 && (metric_sum(COUNT_CONNECTIONS) == 0 || now - gateway->drained_ms > LINGER_MS);
    timer_start(&gateway->drain_timer, DRAIN_POLL_MS);
}

static void drain(struct gateway *gateway, int signo)
{
    log_info("draining", log_str("signal", signo == SIGTERM ? "SIGTERM" : "SIGINT"), log_int("streams", metric_sum(COUNT_STREAMS)));
    gateway->draining = true;
    metric_set(COUNT_DRAINING, 1);
    service_end_within((unsigned)gateway->options.drain_s + DRAIN_EXTRA_S);
    for (uint32_t i = 0; i < gateway->worker_count; ++i)
        worker_drain(&gateway->workers[i], (uint64_t)gateway->options.drain_s * 1000);
    timer_init(&gateway->drain_timer, gateway->ctx.loop, on_drain_timer, gateway);
    timer_start(&gateway->drain_timer, DRAIN_POLL_MS);
}

static void reload(struct gateway *gateway)
{
    const struct certificates *certificates = &gateway->certificates;
    bool again = certificates_reload(&gateway->certificates), access = service_reload(&gateway->options.service);
    for (uint32_t i = 0; i < gateway->worker_count; ++i) {
        if (again)
            worker_set_tls(&gateway->workers[i], certificates->server, certificates->publisher);
        if (access)
            worker_set_access(&gateway->workers[i], gateway->options.service.access);
    }
}

static void on_signal(void *data, int signo)
{
    struct gateway *gateway = data;
    if (signo == SIGHUP)
        reload(gateway);
    else if (gateway->draining)
        gateway->stopped = true;
    else
        drain(gateway, signo);
}

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
    signals_watch(gateway->ctx.loop, on_signal, gateway);
    trim_start(gateway->ctx.loop);
    for (bool more = false; !gateway->stopped;) {
        h2o_evloop_run(gateway->ctx.loop, more ? 0 : INT32_MAX);
        more = gateway->alone ? turn_alone(gateway) : turn(gateway);
    }
    log_info("stopped");
}
