/* A gateway: a feed and its workers' hubs, each on a thread of its own, or all on one. */
#pragma once

#include "gateway/feed/feed.h"
#include "gateway/stream/hub.h"
#include "tests/simulation/schedule.h"

enum { WORKERS = 2, NODES = 14 };

struct node_options {
    uint32_t workers;
    bool alone; /* the only worker shares the bus thread */
    uint64_t pace_us, slow_us; /* see struct thread */
    uint64_t client_us; /* from a client to a gateway and back, at most */
    uint64_t reply_timeout_ms;
    uint32_t ring_frames;
    size_t ring_bytes, ring_memory;
    size_t queue_bytes;
    uint64_t write_timeout_ms, max_stream_ms;
    uint32_t keepalive_ms, coalesce_ms;
};

struct node {
    uint16_t number; /* from 1 on; never used again in this world */
    bool running;
    struct node_options options;
    struct thread bus, workers[WORKERS];
    struct feed *feed;
    struct hub *hubs[WORKERS];
    h2o_multithread_receiver_t *updates[WORKERS];
    uint64_t started_us;
    uint64_t drained_us, frozen_us; /* all streams are to be gone; it stands still until then; 0: not */
};

void nodes_reset(void);

/* The memory stays until the world ends. */
struct node *node_start(const struct node_options *options);

/* As by SIGKILL. */
void node_kill(struct node *node);

/* SIGTERM's first part: all streams are ended within this time. */
void node_drain(struct node *node, uint64_t duration_ms);

/* It does nothing for so long: a host that sleeps. */
void node_freeze(struct node *node, uint64_t us);

bool node_usable(const struct node *node);
const char *node_why(struct node *node);
struct hub *node_hub(const struct node *node, uint32_t worker);
struct thread *node_worker(struct node *node, uint32_t worker);
