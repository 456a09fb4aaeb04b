/* The gateway process and its threads: the main thread is the bus thread (feed, signals, admin listener), each worker has a loop, an h2o context,
 * a hub and its ends of the public listeners. A single worker has no thread of its own. */
#pragma once

#include "gateway/feed/feed.h"
#include "gateway/http/status.h"
#include "gateway/worker.h"
#include "runtime/capacity.h"
#include "runtime/timer.h"

struct gateway {
    struct options options;
    struct read_preference_weights weights; /* SUBSCRIBE_WEIGHTS */
    struct site site;
    h2o_globalconf_t conf, admin_conf;
    h2o_hostconf_t *hosts[2];
    h2o_context_t ctx; /* of the main thread */
    struct capacity capacity[2]; /* of PORT and HTTP_PORT */
    struct admin_check *alive; /* one a worker with a thread of its own */
    struct feed *feed;
    struct status *status; /* NULL with STATUS_MS=0 */
    bool alone; /* one worker, which shares the main thread and its loop: nothing crosses between threads then */
    uint32_t worker_count;
    struct worker *workers;
    struct worker_options worker_options;
    h2o_multithread_receiver_t **updates; /* of each worker */
    pthread_barrier_t barrier; /* of the workers and the main thread, at the start */
    size_t max_connections;
    uint64_t drained_ms; /* when the last stream was seen gone; 0: not yet */
    struct timer drain_timer;
    int fd, plain_fd; /* listening; -1 where there is none */
};

/* The config_table.prepare of the gateway whose options these are: reads all texts and files. */
const char *gateway_prepare(void *options);

/* In this order, once each, on the main thread, after gateway_prepare(). A failed start dies with a sentence. */
void gateway_listen(struct gateway *gateway);
void gateway_start(struct gateway *gateway); /* the bus, then the workers, then the accepting */
void gateway_run(struct gateway *gateway); /* until SIGTERM or SIGINT */
