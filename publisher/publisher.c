#include "publisher/publisher.h"

#include <signal.h>
#include <unistd.h>

#include "publisher/announcement.h"
#include "publisher/counters.h"
#include "publisher/endpoint.h"
#include "proto/channel.h"
#include "runtime/file_limit.h"
#include "runtime/http.h"
#include "runtime/signals.h"
#include "runtime/trim.h"

enum {
    DRAIN_SECONDS = 5,
    DRAIN_TURN_MS = 20, /* a turn that long without a request ends the drain */
    BODY_SLACK =
        65536, /* what libh2o takes above BODY_LIMIT, so that the answer is our 413; over HTTP/2 it only resets the stream */
    FIRST_READ_BYTES = 4096, /* libh2o's own 8 KiB stay with each connection that is kept alive, and most posts are smaller */
    OTHER_FILES = 64, /* descriptors that are not public connections */
};

static const char *check_drain(void *data)
{
    const struct publisher *publisher = data;
    return publisher->state >= PUBLISHER_DRAINING ? "shutting down" : NULL;
}

static const char *check_bus(void *data)
{
    const struct publisher *publisher = data;
    return publish_why(publisher->bus);
}

static void open_h2o(struct publisher *publisher)
{
    h2o_globalconf_t *conf = &publisher->conf;
    h2o_config_init(conf);
    conf->server_name = h2o_iovec_init(H2O_STRLIT("sse-publisher"));
    conf->max_request_entity_size = (size_t)publisher->options.service.body_limit + BODY_SLACK;
    conf->http1.req_timeout = 30000;
    conf->http1.upgrade_to_http2 = 1;
    conf->http2.idle_timeout = 60000;
    publisher->public_hosts[0] = h2o_config_register_host(conf, h2o_iovec_init(H2O_STRLIT("public")), 65535);
    publisher->admin_hosts[0] = h2o_config_register_host(conf, h2o_iovec_init(H2O_STRLIT("admin")), 65535);
}

static void open_bus(struct publisher *publisher, h2o_loop_t *loop)
{
    const struct options *options = &publisher->options;
    struct redis_options redis = {
        .loop = loop,
        .getaddr = &publisher->getaddr,
        .url = &options->service.redis,
        .name = "commands",
        .connect_timeout_ms = (uint64_t)options->service.redis_timeout_ms,
        .reply_timeout_ms = (uint64_t)options->service.redis_timeout_ms,
    };
    publisher->bus = publish_open(&redis, (unsigned)options->replicas);
}

static void open_tickers(struct publisher *publisher)
{
    const struct tick_plan *plan = &publisher->options.plan;
    for (size_t i = 0; i != plan->count; ++i) {
        struct ticker *ticker = &publisher->tickers[i];
        *ticker = (struct ticker){.kind = plan->items[i].kind,
                                  .interval_ms = plan->items[i].interval_ms,
                                  .bus = publisher->bus,
                                  .options = &publisher->options};
        ticker_start(ticker, publisher->ctx.loop);
    }
}

static void on_announce(void *data, struct slice json)
{
    publish_tell(((struct publisher *)data)->bus, ANNOUNCE_CHANNEL, json);
}

/* h2o wants its handlers before its context, and the bus needs the context's queue for name look-ups: so the endpoint is given the
 * place where the bus will be. */
void publisher_open(struct publisher *publisher)
{
    h2o_loop_t *loop = h2o_evloop_create();
    h2o_socket_buffer_prototype._initial_buf.capacity = FIRST_READ_BYTES;
    open_h2o(publisher);
    publisher->checks[0] = (struct admin_check){.name = "bus", .run = check_bus, .data = publisher};
    publisher->checks[1] = (struct admin_check){.name = "drain", .run = check_drain, .data = publisher};
    publisher->capacity = (struct capacity){"MAX_CONNECTIONS", "PORT", COUNTER_CONNECTIONS, 0, publisher->max_connections, ""};
    publisher->checks[2] = (struct admin_check){.name = "connections", .run = capacity_why, .data = &publisher->capacity};
    admin_register(publisher->admin_hosts[0], &(struct admin_options){.ready = publisher->checks, .ready_count = 3});
    endpoint_register(publisher->public_hosts[0], &publisher->bus, &publisher->options);
    h2o_context_init(&publisher->ctx, loop, &publisher->conf);
    h2o_multithread_register_receiver(publisher->ctx.queue, &publisher->getaddr, h2o_hostinfo_getaddr_receiver);
    open_bus(publisher, loop);
    open_tickers(publisher);
    announcement_start(&publisher->announce,
                       (struct announce_options){.loop = loop,
                                                 .node = node_name(publisher->options.service.node_name),
                                                 .interval_ms = (uint64_t)publisher->options.service.status_ms,
                                                 .checks = publisher->checks,
                                                 .check_count = 3,
                                                 .send = on_announce,
                                                 .data = publisher});
    ready_watch_start(&publisher->ready_watch, loop, publisher->checks, sizeof(publisher->checks) / sizeof(publisher->checks[0]));
}

static void on_open(void *data)
{
    (void)data;
    metric_add(COUNTER_CONNECTIONS, 1);
}

static void on_close(void *data)
{
    (void)data;
    metric_add(COUNTER_CONNECTIONS, -1);
}

static void on_bad_proxy(void *data)
{
    (void)data;
    metric_add(COUNTER_BAD_PROXY, 1);
}

/* NULL, or a sentence; what could not be read stays as it was. */
static const char *load_certificates(struct publisher *publisher)
{
    struct service *service = &publisher->options.service;
    const char *error = NULL, *redis_error = redis_tls_load(&service->redis, &service->redis_tls);
    SSL_CTX *ctx = service_tls(service, publisher->options.tls_client_ca, &error);
    if (ctx != NULL) {
        tls_slot_set(&publisher->tls, ctx);
        publisher->public_accept.ssl_ctx = ctx;
    }
    return redis_error != NULL ? redis_error : error;
}

static void count_certificates(const struct publisher *publisher)
{
    certificate_gauge(COUNTER_CERTIFICATE, publisher->tls.ctx);
    certificate_gauge(COUNTER_REDIS_CERTIFICATE, publisher->options.service.redis.tls);
}

const char *publisher_prepare(void *options)
{
    static const struct service_rows rows = {COUNTER_H2_ABUSE, COUNTER_BODIES, COUNTER_RELOADS};
    struct publisher *publisher = H2O_STRUCT_FROM_MEMBER(struct publisher, options, options);
    struct options *own = &publisher->options;
    const char *error = options_read(own, &rows);
    if (error == NULL)
        error = file_limit_for_connections((size_t)own->max_connections, OTHER_FILES, &publisher->max_connections);
    return error == NULL ? load_certificates(publisher) : error;
}

void publisher_bind(struct publisher *publisher)
{
    const struct service *service = &publisher->options.service;
    int port;
    publisher->public_fd = service_bind("public", "PORT", service->host, service->port, &port);
    publisher->admin_fd = service_bind("admin", "ADMIN_PORT", service->admin_host, service->admin_port, &port);
}

static struct listener *listen_on(int fd, const struct listener_options *options)
{
    struct listener *listener = listener_start(fd, options);
    close(fd);
    return listener;
}

void publisher_listen(struct publisher *publisher)
{
    const struct options *options = &publisher->options;
    publisher->public_accept.ctx = &publisher->ctx;
    publisher->public_accept.hosts = publisher->public_hosts;
    publisher->admin_accept = (h2o_accept_ctx_t){.ctx = &publisher->ctx, .hosts = publisher->admin_hosts};
    file_limit_warn((size_t)options->max_connections, publisher->max_connections);
    struct listener_options public_options = {
        .accept = &publisher->public_accept,
        .name = "public",
        .max_connections = publisher->max_connections,
        .total = publisher->max_connections,
        .proxies = options->service.proxy_protocol ? options->service.proxies : NULL,
        .on_open = on_open,
        .on_close = on_close,
        .on_bad_proxy = on_bad_proxy,
    };
    count_certificates(publisher);
    metric_set(COUNTER_CONNECTIONS_LIMIT, (int64_t)public_options.max_connections);
    struct listener_options admin_options = {
        .accept = &publisher->admin_accept, .name = "admin", .max_connections = OTHER_FILES / 2, .total = OTHER_FILES / 2};
    publisher->public_listener = listen_on(publisher->public_fd, &public_options);
    publisher->admin_listener = listen_on(publisher->admin_fd, &admin_options);
    if (options->service.access == NULL)
        access_warn_open();
}

static void drain(struct publisher *publisher, int signo)
{
    log_info("draining", log_str("signal", signo == SIGTERM ? "SIGTERM" : "SIGINT"));
    publisher->state = PUBLISHER_DRAINING;
    metric_set(COUNTER_DRAINING, 1);
    service_end_within(DRAIN_SECONDS);
    for (size_t i = 0; i != publisher->options.plan.count; ++i)
        ticker_stop(&publisher->tickers[i]);
    listener_stop(publisher->public_listener);
    h2o_context_request_shutdown(&publisher->ctx);
}

/* New connections use what the files hold now, open ones go on; files that can't be used change nothing. */
static void reload(struct publisher *publisher)
{
    struct service *service = &publisher->options.service;
    const char *error = load_certificates(publisher);
    bool tls = publisher->tls.ctx != NULL || service->redis.secure;
    if (tls) {
        count_certificates(publisher);
        reload_count(COUNTER_RELOADS, RELOAD_CERTIFICATES, error == NULL);
        if (error != NULL)
            log_error("certificate not reloaded", log_str("why", error));
        else
            log_info("certificate reloaded");
    }
    service_reload(service);
    if (!tls && service->access == NULL)
        log_info("nothing to reload");
}

static void on_signal(void *data, int signo)
{
    struct publisher *publisher = data;
    if (signo == SIGHUP)
        reload(publisher);
    else if (publisher->state == PUBLISHER_DRAINING)
        publisher->state = PUBLISHER_DONE;
    else
        drain(publisher, signo);
}

static void watch_bus(struct publisher *publisher)
{
    bool up = publish_ready(publisher->bus);
    if (up == publisher->bus_up)
        return;
    publisher->bus_up = up;
    metric_set(COUNTER_BUS_UP, up);
}

static int on_each_request(h2o_req_t *req, void *data)
{
    size_t *count = data;
    *count += req->version != 0; /* 0 between two requests of a connection */
    return 0;
}

static size_t requests_under_way(struct publisher *publisher)
{
    size_t count = 0;
    publisher->conf.http1.callbacks.foreach_request(&publisher->ctx, on_each_request, &count);
    publisher->conf.http2.callbacks.foreach_request(&publisher->ctx, on_each_request, &count);
    return count;
}

/* Ends when two turns in a row saw no request, so that what had already arrived in a socket was read and answered. */
static void finish_requests(struct publisher *publisher)
{
    for (unsigned quiet = 0; publisher->state == PUBLISHER_DRAINING && quiet != 2;) {
        h2o_evloop_run(publisher->ctx.loop, DRAIN_TURN_MS);
        quiet = requests_under_way(publisher) == 0 ? quiet + 1 : 0;
    }
    publisher->state = PUBLISHER_DONE;
}

void publisher_run(struct publisher *publisher)
{
    signals_watch(publisher->ctx.loop, on_signal, publisher);
    trim_start(publisher->ctx.loop);
    while (publisher->state < PUBLISHER_DRAINING) {
        h2o_evloop_run(publisher->ctx.loop, INT32_MAX);
        watch_bus(publisher);
    }
    finish_requests(publisher);
}

void publisher_close(struct publisher *publisher)
{
    listener_stop(publisher->admin_listener);
    publish_close(publisher->bus);
    log_info("stopped");
}
