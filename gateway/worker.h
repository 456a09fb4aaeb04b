/* A worker: a loop, its part of the site, a hub and its ends of the public listeners. It has a thread of its own unless it is the only one. */
#pragma once

#include <pthread.h>

#include "gateway/http/site.h"
#include "gateway/options.h"
#include "runtime/net/listener.h"
#include "runtime/net/tls.h"
#include "runtime/watchdog.h"

/* The same for all workers; borrowed for their lives. */
struct worker_options {
    const struct options *settings;
    struct site *site;
    h2o_globalconf_t *conf;
    h2o_hostconf_t **hosts; /* of conf */
    uint32_t count; /* of workers */
    int fd, plain_fd; /* listening, of PORT and HTTP_PORT; -1: there is none */
    size_t max_connections; /* of each worker on each of the two */
    SSL_CTX *tls; /* what worker_open() begins with; NULL: no TLS */
    const struct access *access; /* likewise; NULL: everything is open */
    pthread_barrier_t *barrier; /* of the main thread and all workers with threads, at the start */
};

struct worker {
    const struct worker_options *options;
    uint32_t number;
    struct site_worker site;
    h2o_accept_ctx_t accept, plain_accept; /* PORT; HTTP_PORT */
    struct tls_slot tls; /* of accept */
    struct listener *listener, *plain_listener;
    h2o_multithread_receiver_t orders; /* of the main thread, see worker.c */
    pthread_t thread;
    char name[16]; /* of the thread */
    struct watchdog watchdog; /* of a thread of its own */
};

/* Gives the worker its context and hub on this thread's loop. Everything libh2o makes is made on the thread that uses it: its buffers come from pools of
 * the thread. */
void worker_open(struct worker *worker, const struct worker_options *options, uint32_t number, h2o_loop_t *loop);

/* After each turn of its loop: begins no requests while what earlier ones set going is not done, so that what waits stays bounded, however fast clients ask. */
void worker_pace(struct worker *worker);

/* Opens its ends of the public listeners. */
void worker_accept(struct worker *worker);

/* Both on a thread of its own, which then runs. Waits three times at the barrier: when its hub is there, until the feed is, and when it accepts. */
void worker_start(struct worker *worker, const struct worker_options *options, uint32_t number);

/* From the main thread: stop accepting, end the streams evenly over this time; the loop goes on until the process ends. */
void worker_drain(struct worker *worker, uint64_t duration_ms);

/* From the main thread: new connections, of clients and to the publisher, use these; NULL: as before. Takes references of its own. */
void worker_set_tls(struct worker *worker, SSL_CTX *tls, SSL_CTX *publisher_tls);

/* From the main thread: new requests are judged by this. Takes a reference of its own. */
void worker_set_access(struct worker *worker, struct access *access);
