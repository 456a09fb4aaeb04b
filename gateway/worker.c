#include "gateway/worker.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/counters.h"
#include "gateway/http/upstream.h"
#include "runtime/pace.h"

/* libh2o's own 8 KiB stay while it holds a request, and most heads are a few hundred bytes. */
enum { FIRST_READ_BYTES = 4096 };

static void on_listener(void *data, enum listener_event event)
{
    (void)data;
    if (event == LISTENER_BAD_PROXY)
        metric_add(COUNT_BAD_PROXY, 1);
    else
        metric_add(COUNT_CONNECTIONS, event == LISTENER_OPENED ? 1 : -1);
}

static void on_plain_listener(void *data, enum listener_event event)
{
    on_listener(data, event);
    if (event != LISTENER_BAD_PROXY)
        metric_add(COUNT_PLAIN_CONNECTIONS, event == LISTENER_OPENED ? 1 : -1);
}

/* Main thread to worker. */
struct order {
    h2o_multithread_message_t super;
    bool drain;
    uint64_t drain_ms;
    SSL_CTX *tls, *publisher_tls; /* NULL: as it was */
    struct access *access; /* likewise */
};

static void drain(struct worker *worker, uint64_t duration_ms)
{
    worker->site.draining = true;
    listener_stop(worker->listener);
    if (worker->plain_listener != NULL)
        listener_stop(worker->plain_listener);
    h2o_context_request_shutdown(&worker->site.ctx);
    hub_drain(worker->site.hub, duration_ms);
}

static void set_tls(struct worker *worker, SSL_CTX *tls)
{
    tls_slot_set(&worker->tls, tls);
    worker->accept.ssl_ctx = tls;
}

struct turn_of_access {
    const struct access *before, *now;
};

static bool knows(void *data, uint32_t key)
{
    return access_knows(((const struct turn_of_access *)data)->now, key);
}

/* A stream that a token let in before the channel was open is ended, too, and comes back with its token. */
static bool closed(void *data, struct slice channel)
{
    const struct turn_of_access *turn = data;
    return access_open(turn->before, ACCESS_SUBSCRIBE, channel) && !access_open(turn->now, ACCESS_SUBSCRIBE, channel);
}

static void set_access(struct worker *worker, struct access *access)
{
    struct turn_of_access turn = {worker->site.access, access};
    hub_judge(worker->site.hub, &(struct hub_access){.knows = knows, .closed = closed, .data = &turn});
    access_free(worker->site.access);
    worker->site.access = access;
}

static void on_orders(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    struct worker *worker = H2O_STRUCT_FROM_MEMBER(struct worker, orders, receiver);
    while (!h2o_linklist_is_empty(messages)) {
        struct order *order = H2O_STRUCT_FROM_MEMBER(struct order, super.link, list_take(messages));
        if (order->drain)
            drain(worker, order->drain_ms);
        if (order->tls != NULL)
            set_tls(worker, order->tls);
        if (order->publisher_tls != NULL)
            upstream_set_tls(&worker->site, order->publisher_tls);
        if (order->access != NULL)
            set_access(worker, order->access);
        free(order);
    }
}

static void send_order(struct worker *worker, const struct order *what)
{
    struct order *order = h2o_mem_alloc(sizeof(*order));
    *order = *what;
    h2o_multithread_send_message(&worker->orders, &order->super);
}

void worker_drain(struct worker *worker, uint64_t duration_ms)
{
    send_order(worker, &(struct order){.drain = true, .drain_ms = duration_ms});
}

void worker_set_tls(struct worker *worker, SSL_CTX *tls, SSL_CTX *publisher_tls)
{
    if (tls != NULL)
        SSL_CTX_up_ref(tls);
    if (publisher_tls != NULL)
        SSL_CTX_up_ref(publisher_tls);
    if (tls != NULL || publisher_tls != NULL)
        send_order(worker, &(struct order){.tls = tls, .publisher_tls = publisher_tls});
}

void worker_set_access(struct worker *worker, struct access *access)
{
    send_order(worker, &(struct order){.access = access_share(access)});
}

void worker_open(struct worker *worker, const struct worker_options *options, uint32_t number, h2o_loop_t *loop)
{
    const struct options *settings = options->settings;
    struct site_worker *site = &worker->site;
    worker->options = options;
    worker->number = number;
    site->site = options->site;
    site->access = access_share(options->access);
    h2o_socket_buffer_prototype._initial_buf.capacity = FIRST_READ_BYTES;
    h2o_context_init(&site->ctx, loop, options->conf);
    site->hub = hub_create(&(struct hub_options){.loop = loop,
                                                 .queue = site->ctx.queue,
                                                 .worker = number,
                                                 .limits = {.timeout_ms = (uint64_t)settings->write_timeout_s * 1000,
                                                            .queue_bytes = (size_t)settings->queue_bytes,
                                                            .memory = (size_t)settings->memory_limit},
                                                 .max_stream_ms = (uint64_t)settings->max_stream_s * 1000,
                                                 .keepalive_ms = (uint32_t)settings->keepalive_ms,
                                                 .coalesce_ms = (uint32_t)settings->coalesce_ms,
                                                 .retry_ms = (int32_t)settings->retry_ms});
    h2o_multithread_register_receiver(site->ctx.queue, &worker->orders, on_orders);
    worker->accept = worker->plain_accept = (h2o_accept_ctx_t){.ctx = &site->ctx, .hosts = options->hosts};
    if (options->tls != NULL) {
        SSL_CTX_up_ref(options->tls);
        set_tls(worker, options->tls);
    }
}

static struct listener *listen_on(struct worker *worker, int fd, h2o_accept_ctx_t *accept)
{
    const struct worker_options *common = worker->options;
    bool plain = accept == &worker->plain_accept;
    struct listener_options options = {.accept = accept,
                                       .name = plain ? "plain" : "public",
                                       .max_connections = common->max_connections,
                                       .total = common->max_connections * common->count,
                                       .user_timeout_ms = (uint32_t)common->settings->write_timeout_s * 1000 + 5000,
                                       .proxies = common->settings->service.proxy_protocol ? common->site->proxies : NULL,
                                       .on_event = plain ? on_plain_listener : on_listener};
    return fd == -1 ? NULL : listener_start(fd, &options);
}

void worker_accept(struct worker *worker)
{
    worker->listener = listen_on(worker, worker->options->fd, &worker->accept);
    worker->plain_listener = listen_on(worker, worker->options->plain_fd, &worker->plain_accept);
}

void worker_pace(struct worker *worker)
{
    pace_hold(hub_is_behind(worker->site.hub) || worker->site.site->bus.behind(worker->site.site->bus.feed));
}

static void *run(void *data)
{
    struct worker *worker = data;
    snprintf(worker->name, sizeof(worker->name), "worker %u", worker->number % 1000);
    pthread_setname_np(pthread_self(), worker->name);
    metrics_thread();
    h2o_loop_t *loop = h2o_evloop_create();
    worker_open(worker, worker->options, worker->number, loop);
    worker->watchdog.name = worker->name;
    worker->watchdog.interval_ms = PULSE_MS;
    watchdog_beat(&worker->watchdog, loop);
    pthread_barrier_wait(worker->options->barrier);
    pthread_barrier_wait(worker->options->barrier);
    worker_accept(worker);
    pthread_barrier_wait(worker->options->barrier);
    for (bool more = false;; more = hub_turn(worker->site.hub)) {
        worker_pace(worker);
        h2o_evloop_run(loop, more ? 0 : INT32_MAX);
    }
    return NULL;
}

void worker_start(struct worker *worker, const struct worker_options *options, uint32_t number)
{
    worker->options = options;
    worker->number = number;
    h2o_multithread_create_thread(&worker->thread, NULL, run, worker);
}
