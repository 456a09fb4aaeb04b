#include "tests/simulation/node.h"

#include "tests/simulation/bus.h"
#include "tests/simulation/client.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/world_memory.h"

static h2o_loop_t loop;
static uint16_t node_count;

void nodes_reset(void)
{
    node_count = 0;
    loop._now = schedule_now_us() / 1000;
    schedule_now_ms = &loop._now;
}

/* ---- what the programs' loops do after each turn, see gateway_run() and worker.c ---- */

static bool turn_bus(struct thread *thread)
{
    struct node *node = thread->data;
    bool more = feed_take_requests(node->feed);
    feed_turn(node->feed);
    return more;
}

static bool turn_worker(struct thread *thread)
{
    struct node *node = thread->data;
    return hub_turn(node->hubs[thread - node->workers]);
}

static bool turn_alone(struct thread *thread)
{
    struct node *node = thread->data;
    feed_turn(node->feed);
    bool more = hub_turn(node->hubs[0]);
    more = feed_take_requests(node->feed) || more;
    return feed_turn(node->feed) || more;
}

/* ---- the start ---- */

static void on_other(void *data, struct slice text)
{
    (void)data, (void)text;
}

struct thread *node_worker(struct node *node, uint32_t worker)
{
    return node->options.alone ? &node->bus : &node->workers[worker];
}

struct opening_hub {
    struct node *node;
    uint32_t worker;
};

static void open_hub(void *data)
{
    const struct opening_hub *which = data;
    struct node *node = which->node;
    const struct node_options *options = &node->options;
    struct hub *hub = hub_create(&(struct hub_options){.loop = &loop,
                                                       .queue = (h2o_multithread_queue_t *)node_worker(node, which->worker),
                                                       .worker = which->worker,
                                                       .limits = {options->write_timeout_ms, options->queue_bytes, (size_t)1 << 20},
                                                       .max_stream_ms = options->max_stream_ms,
                                                       .keepalive_ms = options->keepalive_ms,
                                                       .coalesce_ms = options->coalesce_ms,
                                                       .retry_ms = 6000});
    node->hubs[which->worker] = hub;
    node->updates[which->worker] = hub_updates(hub);
}

static void open_feed(void *data)
{
    struct node *node = data;
    const struct node_options *options = &node->options;
    node->feed = feed_open(&(struct feed_options){.loop = &loop,
                                                  .queue = (h2o_multithread_queue_t *)&node->bus,
                                                  .url = bus_url(),
                                                  .redis_timeout_ms = options->reply_timeout_ms,
                                                  .ring_frames = options->ring_frames,
                                                  .ring_bytes = options->ring_bytes,
                                                  .ring_memory = options->ring_memory,
                                                  .workers = node->updates,
                                                  .worker_count = options->workers,
                                                  .local = options->alone,
                                                  .on_node = on_other,
                                                  .data = node});
}

static void connect_hub(void *data)
{
    const struct opening_hub *which = data;
    hub_connect(which->node->hubs[which->worker], feed_requests(which->node->feed), which->node->options.alone);
}

struct node *node_start(const struct node_options *options)
{
    struct node *node = world_malloc(sizeof(*node));
    *node = (struct node){.number = ++node_count, .running = true, .options = *options, .started_us = schedule_now_us()};
    struct thread thread = {.gateway = node->number, .pace_us = options->pace_us, .slow_us = options->slow_us, .data = node};
    node->bus = node->workers[0] = node->workers[1] = thread;
    node->bus.take_turn = options->alone ? turn_alone : turn_bus;
    node->workers[0].take_turn = node->workers[1].take_turn = turn_worker;
    trace("gateway %u starts", node->number);
    for (uint32_t i = 0; i < options->workers; ++i)
        thread_run(node_worker(node, i), open_hub, &(struct opening_hub){node, i});
    thread_run(&node->bus, open_feed, node);
    for (uint32_t i = 0; i < options->workers; ++i)
        thread_run(node_worker(node, i), connect_hub, &(struct opening_hub){node, i});
    return node;
}

/* ---- the end ---- */

void node_kill(struct node *node)
{
    trace("gateway %u is killed", node->number);
    node->running = false;
    node->bus.dead = node->workers[0].dead = node->workers[1].dead = true;
    bus_forget(node->number);
    clients_lost(node->number);
}

struct draining {
    struct hub *hub;
    uint64_t duration_ms;
};

static void drain(void *data)
{
    const struct draining *draining = data;
    hub_drain(draining->hub, draining->duration_ms);
}

void node_drain(struct node *node, uint64_t duration_ms)
{
    trace("gateway %u drains", node->number);
    node->drained_us = schedule_now_us() + duration_ms * 1000;
    for (uint32_t i = 0; i < node->options.workers; ++i)
        thread_run(node_worker(node, i), drain, &(struct draining){node->hubs[i], duration_ms});
}

void node_freeze(struct node *node, uint64_t us)
{
    trace("gateway %u stands still for %u us", node->number, (unsigned)us);
    node->frozen_us = schedule_now_us() + us;
    node->bus.busy_until_us = node->workers[0].busy_until_us = node->workers[1].busy_until_us = schedule_now_us() + us;
}

bool node_usable(const struct node *node)
{
    return feed_usable(node->feed);
}

const char *node_why(struct node *node)
{
    return feed_why(node->feed);
}

struct hub *node_hub(const struct node *node, uint32_t worker)
{
    return node->hubs[worker];
}
