#include "gateway/worker.h"

#include "gateway/connection.h"
#include "gateway/counters.h"

static void on_open(void *data)
{
    (void)data;
    metric_add(COUNT_CONNECTIONS, 1);
}

static void on_close(void *data)
{
    (void)data;
    metric_add(COUNT_CONNECTIONS, -1);
}

static void open_worker(struct worker *worker)
{
    struct gateway *gateway = worker->gateway;
    const struct options *options = &gateway->options;
    h2o_context_init(&worker->ctx, h2o_evloop_create(), &gateway->conf);
    worker->hub = hub_create(&(struct hub_options){.loop = worker->ctx.loop,
                                                   .queue = worker->ctx.queue,
                                                   .worker = worker->number,
                                                   .queue_bytes = (size_t)options->queue_bytes,
                                                   .keepalive_ms = (uint32_t)options->keepalive_ms,
                                                   .retry_ms = (int32_t)options->retry_ms});
    worker->accept = (h2o_accept_ctx_t){.ctx = &worker->ctx, .hosts = gateway->hosts, .ssl_ctx = gateway->tls};
    worker->plain_accept = (h2o_accept_ctx_t){.ctx = &worker->ctx, .hosts = gateway->hosts};
}

static struct listener *listen_on(int fd, h2o_accept_ctx_t *accept, size_t max_connections)
{
    struct listener_options options = {.accept = accept,
                                       .max_connections = max_connections,
                                       .per_connection = sizeof(struct connection),
                                       .on_open = on_open,
                                       .on_close = on_close};
    return fd == -1 ? NULL : listener_start(fd, &options);
}

static void listen_all(struct worker *worker)
{
    struct gateway *gateway = worker->gateway;
    size_t share = gateway->max_connections / gateway->worker_count / (gateway->plain_fd == -1 ? 1 : 2);
    worker->listener = listen_on(gateway->fd, &worker->accept, share == 0 ? 1 : share);
    worker->plain_listener = listen_on(gateway->plain_fd, &worker->plain_accept, share == 0 ? 1 : share);
}

static void *run(void *data)
{
    struct worker *worker = data;
    metrics_thread();
    /* smaller first reads: a request's head is mostly a few hundred bytes, and the buffer stays while h2o holds the request */
    h2o_socket_buffer_prototype._initial_buf.capacity = 4096;
    open_worker(worker);
    pthread_barrier_wait(&worker->gateway->barrier);
    pthread_barrier_wait(&worker->gateway->barrier);
    listen_all(worker);
    pthread_barrier_wait(&worker->gateway->barrier);
    for (bool more = false;; more = hub_turn(worker->hub))
        h2o_evloop_run(worker->ctx.loop, more ? 0 : INT32_MAX);
    return NULL;
}

void worker_start(struct worker *worker, struct gateway *gateway, uint32_t number)
{
    worker->gateway = gateway;
    worker->number = number;
    h2o_multithread_create_thread(&worker->thread, NULL, run, worker);
}
