#include "publisher/publisher.h"

#include <unistd.h>

#include "publisher/counters.h"
#include "publisher/endpoint.h"
#include "proto/channel.h"
#include "runtime/file_limit.h"

enum {
    DRAIN_SECONDS = 5,
    DRAIN_TURN_MS = 20, /* a turn that long without a request ends the drain */
    HEAD_TIMEOUT_MS = 30000,
    FIRST_READ_BYTES = 4096, /* libh2o's own 8 KiB stay with each connection that is kept alive, and most posts are smaller */
    OTHER_FILES = 64, /* descriptors that are not public connections */
};

static struct publisher *publisher_of(void *service)
{
    return H2O_STRUCT_FROM_MEMBER(struct publisher, options.service, service);
}

static void open_h2o(struct publisher *publisher)
{
    h2o_globalconf_t *conf = &publisher->conf;
    service_configure(&publisher->options.service, conf);
    conf->http1.req_timeout = HEAD_TIMEOUT_MS;
    conf->http1.upgrade_to_http2 = 1;
    publisher->hosts[0] = h2o_config_register_host(conf, h2o_iovec_init(H2O_STRLIT("public")), 65535);
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

static void on_listener(void *data, enum listener_event event)
{
    (void)data;
    if (event == LISTENER_BAD_PROXY)
        metric_add(COUNTER_BAD_PROXY, 1);
    else
        metric_add(COUNTER_CONNECTIONS, event == LISTENER_OPENED ? 1 : -1);
}

static void set_tls(struct publisher *publisher)
{
    SSL_CTX *tls = publisher->options.service.tls;
    if (tls == NULL)
        return;
    SSL_CTX_up_ref(tls);
    tls_slot_set(&publisher->tls, tls);
    publisher->accept.ssl_ctx = tls;
}

void publisher_bind(struct publisher *publisher)
{
    struct service *service = &publisher->options.service;
    int port;
    publisher->fd = service_bind("public", "PORT", service->host, service->port, &port);
    service->admin_fd = service_bind("admin", "ADMIN_PORT", service->admin_host, service->admin_port, &port);
}

static void listen_on(struct publisher *publisher)
{
    const struct service *service = &publisher->options.service;
    struct listener_options listener = {
        .accept = &publisher->accept,
        .name = "public",
        .max_connections = publisher->max_connections,
        .total = publisher->max_connections,
        .proxies = service->proxy_protocol ? service->proxies : NULL,
        .on_event = on_listener,
    };
    publisher->accept = (h2o_accept_ctx_t){.ctx = &publisher->ctx, .hosts = publisher->hosts};
    set_tls(publisher);
    file_limit_warn((size_t)publisher->options.max_connections, publisher->max_connections);
    metric_set(COUNTER_CONNECTIONS_LIMIT, (int64_t)publisher->max_connections);
    publisher->listener = listener_start(publisher->fd, &listener);
    close(publisher->fd);
}

/* h2o wants its handlers before its context, and the bus needs the context's queue for name look-ups: so the endpoint is given the
 * place where the bus will be. */
void publisher_start(struct publisher *publisher)
{
    struct service *service = &publisher->options.service;
    h2o_loop_t *loop = h2o_evloop_create();
    h2o_socket_buffer_prototype._initial_buf.capacity = FIRST_READ_BYTES;
    open_h2o(publisher);
    publisher->capacity = (struct capacity){"MAX_CONNECTIONS", "PORT", COUNTER_CONNECTIONS, 0, publisher->max_connections, ""};
    service_add_check(service, "connections", capacity_why, &publisher->capacity);
    service_register_admin(service, &publisher->conf, (struct admin_options){.has_status = false});
    endpoint_register(publisher->hosts[0], &publisher->bus, &publisher->options);
    h2o_context_init(&publisher->ctx, loop, &publisher->conf);
    h2o_multithread_register_receiver(publisher->ctx.queue, &publisher->getaddr, h2o_hostinfo_getaddr_receiver);
    open_bus(publisher, loop);
    open_tickers(publisher);
    listen_on(publisher);
    service_start(service, &publisher->ctx, OTHER_FILES / 2);
}

static void announce(void *service, struct slice json)
{
    publish_tell(publisher_of(service)->bus, ANNOUNCE_CHANNEL, json);
}

static const char *bus_why(void *service)
{
    return publish_why(publisher_of(service)->bus);
}

/* New connections use what the files hold now, open ones go on. */
static void reload(struct service *service)
{
    struct service_reloaded reloaded = service_reload(service);
    if (reloaded.certificates)
        set_tls(publisher_of(service));
    else if (service->access == NULL)
        log_info("nothing to reload");
}

static void drain(struct service *service, const char *signal)
{
    struct publisher *publisher = publisher_of(service);
    log_info("draining", log_str("signal", signal));
    for (size_t i = 0; i != publisher->options.plan.count; ++i)
        ticker_stop(&publisher->tickers[i]);
    listener_stop(publisher->listener);
    h2o_context_request_shutdown(&publisher->ctx);
}

const char *publisher_prepare(void *options)
{
    static const struct service_program program = {
        .name = "sse-publisher",
        .rows = {.h2_abuse = COUNTER_H2_ABUSE,
                 .bodies = COUNTER_BODIES,
                 .reloads = COUNTER_RELOADS,
                 .refused = COUNTER_REFUSED,
                 .certificate = COUNTER_CERTIFICATE,
                 .redis_certificate = COUNTER_REDIS_CERTIFICATE,
                 .draining = COUNTER_DRAINING},
        .announcement = &counters_announced,
        .announce = announce,
        .bus_why = bus_why,
        .reload = reload,
        .drain = drain,
    };
    struct publisher *publisher = H2O_STRUCT_FROM_MEMBER(struct publisher, options, options);
    struct options *own = &publisher->options;
    const char *error = options_read(own, &program);
    if (error == NULL)
        error = file_limit_for_connections((size_t)own->max_connections, OTHER_FILES, &publisher->max_connections);
    return error == NULL ? service_load_certificates(&own->service) : error;
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
    for (unsigned quiet = 0; publisher->options.service.state == SERVICE_DRAINING && quiet != 2;) {
        h2o_evloop_run(publisher->ctx.loop, DRAIN_TURN_MS);
        quiet = requests_under_way(publisher) == 0 ? quiet + 1 : 0;
    }
}

void publisher_run(struct publisher *publisher)
{
    service_run(&publisher->options.service, publisher->ctx.loop, DRAIN_SECONDS);
    while (publisher->options.service.state == SERVICE_RUNNING) {
        h2o_evloop_run(publisher->ctx.loop, INT32_MAX);
        metric_set(COUNTER_BUS_UP, publish_ready(publisher->bus));
    }
    finish_requests(publisher);
    listener_stop(publisher->options.service.admin_listener);
    publish_close(publisher->bus);
    log_info("stopped");
}
