#include "publisher/publisher.h"

#include <signal.h>
#include <unistd.h>

#include "publisher/announcement.h"
#include "publisher/counters.h"
#include "publisher/endpoint.h"
#include "runtime/file_limit.h"
#include "runtime/h2o/h1_guard.h"
#include "runtime/h2o/h1_pace.h"
#include "runtime/h2o/h2_guard.h"
#include "runtime/h2o/steady_clock.h"
#include "runtime/http.h"
#include "runtime/log.h"
#include "runtime/net/bodies.h"
#include "runtime/net/socket_write.h"
#include "runtime/redis/redis_reload.h"
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
    conf->max_request_entity_size = (size_t)publisher->options.body_limit + BODY_SLACK;
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
        .url = &options->redis,
        .name = "commands",
        .connect_timeout_ms = (uint64_t)options->redis_timeout_ms,
        .reply_timeout_ms = (uint64_t)options->redis_timeout_ms,
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
    endpoint_register(publisher->public_hosts[0], &publisher->bus, &publisher->access, &publisher->options);
    h2o_context_init(&publisher->ctx, loop, &publisher->conf);
    h2o_multithread_register_receiver(publisher->ctx.queue, &publisher->getaddr, h2o_hostinfo_getaddr_receiver);
    open_bus(publisher, loop);
    open_tickers(publisher);
    announcement_start(publisher);
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

static int bind_port(const char *name, const char *setting, const char *host, int64_t port)
{
    const char *error;
    int bound, fd = listener_bind(host, (int)port, &bound, &error);
    if (fd == -1)
        die("%s: %s", setting, error);
    log_info("listening", log_str("listener", name), log_int("port", bound));
    return fd;
}

/* NULL, or a sentence; what could not be read stays as it was. */
static const char *load_certificates(struct publisher *publisher)
{
    struct options *options = &publisher->options;
    const struct tls_server_files files = {.cert = {"TLS_CERT", options->tls_cert},
                                           .key = {"TLS_KEY", options->tls_key},
                                           .client_ca = {"TLS_CLIENT_CA", options->tls_client_ca},
                                           .ticket_keys = {"TLS_TICKET_KEYS_FILE", options->tls_ticket_keys}};
    const char *error = NULL, *redis_error = redis_tls_load(&options->redis, &options->redis_tls);
    SSL_CTX *ctx = options->tls_cert[0] == '\0' ? NULL : tls_server(&files, &error);
    if (ctx != NULL) {
        tls_slot_set(&publisher->tls, ctx);
        publisher->public_accept.ssl_ctx = ctx;
    }
    return redis_error != NULL ? redis_error : error;
}

static void count_certificates(const struct publisher *publisher)
{
    certificate_gauge(COUNTER_CERTIFICATE, publisher->tls.ctx);
    certificate_gauge(COUNTER_REDIS_CERTIFICATE, publisher->options.redis.tls);
}

const char *publisher_prepare(void *options)
{
    struct publisher *publisher = H2O_STRUCT_FROM_MEMBER(struct publisher, options, options);
    struct options *own = &publisher->options;
    const char *error = options_read(own);
    if (error == NULL)
        error = file_limit_for_connections((size_t)own->max_connections, OTHER_FILES, &publisher->max_connections);
    if (error == NULL)
        error = listener_check_host("HOST", own->host);
    if (error == NULL)
        error = listener_check_host("ADMIN_HOST", own->admin_host);
    if (error == NULL)
        error = bodies_start((size_t)own->bodies_limit, own->proxies, COUNTER_BODIES);
    if (error == NULL)
        error = h2_guard_start(COUNTER_H2_ABUSE);
    if (error == NULL)
        error = h1_guard_start();
    if (error == NULL)
        error = h1_pace_start();
    if (error == NULL)
        error = socket_write_start();
    if (error == NULL)
        error = steady_clock_start();
    if (error == NULL)
        publisher->access = access_load(&own->access, own->cors_origins, &error);
    return error == NULL ? load_certificates(publisher) : error;
}

void publisher_bind(struct publisher *publisher)
{
    const struct options *options = &publisher->options;
    publisher->public_fd = bind_port("public", "PORT", options->host, options->port);
    publisher->admin_fd = bind_port("admin", "ADMIN_PORT", options->admin_host, options->admin_port);
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
        .proxies = options->proxy_protocol ? options->proxies : NULL,
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
    if (publisher->access == NULL)
        access_warn_open();
}

/* Backstop of the drain: a loop that never comes back ends here. */
static void on_alarm(int signo)
{
    (void)signo;
    _exit(0);
}

static void drain(struct publisher *publisher, int signo)
{
    log_info("draining", log_str("signal", signo == SIGTERM ? "SIGTERM" : "SIGINT"));
    publisher->state = PUBLISHER_DRAINING;
    metric_set(COUNTER_DRAINING, 1);
    signal(SIGALRM, on_alarm);
    alarm(DRAIN_SECONDS);
    for (size_t i = 0; i != publisher->options.plan.count; ++i)
        ticker_stop(&publisher->tickers[i]);
    listener_stop(publisher->public_listener);
    h2o_context_request_shutdown(&publisher->ctx);
}

/* New connections use what the files hold now, open ones go on; files that can't be used change nothing. */
static void reload_certificates(struct publisher *publisher)
{
    const char *error = load_certificates(publisher);
    if (publisher->tls.ctx == NULL && !publisher->options.redis.secure)
        return;
    count_certificates(publisher);
    reload_count(COUNTER_RELOADS, RELOAD_CERTIFICATES, error == NULL);
    if (error != NULL)
        log_error("certificate not reloaded", log_str("why", error));
    else
        log_info("certificate reloaded");
}

/* New requests are judged by what the key and policy files hold now; a broken one changes nothing. */
static void reload_access(struct publisher *publisher)
{
    const char *error;
    struct access *access = access_load(&publisher->options.access, publisher->options.cors_origins, &error);
    if (access != NULL) {
        access_free(publisher->access);
        publisher->access = access;
        log_info("keys reloaded");
        reload_count(COUNTER_RELOADS, RELOAD_KEYS, true);
    } else if (error != NULL) {
        log_error("keys not reloaded", log_str("why", error));
        reload_count(COUNTER_RELOADS, RELOAD_KEYS, false);
    } else if (publisher->tls.ctx == NULL && !publisher->options.redis.secure) {
        log_info("nothing to reload");
    }
}

static void reload_redis(struct publisher *publisher)
{
    struct options *options = &publisher->options;
    enum redis_reload outcome = redis_reload(&options->redis, options->redis_url, options->redis_sentinel_password);
    if (outcome != REDIS_RELOAD_NOTHING)
        reload_count(COUNTER_RELOADS, RELOAD_REDIS, outcome == REDIS_RELOAD_DONE);
}

static void on_signal(void *data, int signo)
{
    struct publisher *publisher = data;
    if (signo == SIGHUP) {
        reload_certificates(publisher);
        reload_redis(publisher);
        reload_access(publisher);
    } else if (publisher->state == PUBLISHER_DRAINING) {
        publisher->state = PUBLISHER_DONE;
    } else {
        drain(publisher, signo);
    }
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
