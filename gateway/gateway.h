/* The gateway process and its threads: the main thread is the bus thread (feed, signals, admin listener), each worker has a loop, an h2o context,
 * a hub and its ends of the public listeners. A single worker has no thread of its own. Nothing but frames and the notes of note.h is shared between them. */
#pragma once

#include <stdatomic.h>

#include "gateway/feed/feed.h"
#include "gateway/http/status.h"
#include "gateway/options.h"
#include "gateway/stream/hub.h"
#include "runtime/admin.h"
#include "runtime/capacity.h"
#include "runtime/limits.h"
#include "runtime/net/forwarded.h"
#include "runtime/net/listener.h"
#include "runtime/net/tls.h"
#include "runtime/ready_watch.h"
#include "runtime/timer.h"
#include "runtime/watchdog.h"

struct worker {
    struct gateway *gateway;
    uint32_t number;
    h2o_context_t ctx;
    struct hub *hub;
    h2o_accept_ctx_t accept, plain_accept; /* PORT; HTTP_PORT */
    struct tls_slot tls; /* of accept */
    SSL_CTX *publisher_tls; /* in place of the proxy's first one; NULL: that serves still */
    struct access *access; /* NULL: everything is open */
    struct listener *listener, *plain_listener;
    h2o_multithread_receiver_t orders; /* of the main thread, see worker.c */
    bool draining;
    pthread_t thread;
    char name[16]; /* of the thread */
    struct watchdog watchdog; /* of a thread of its own */
};

/* What the workers know of the publisher, together. */
struct publisher_state {
    _Atomic size_t under_way; /* POSTs */
    _Atomic bool away;
    _Atomic uint64_t failed_ms; /* the last failure */
    _Atomic int64_t failures; /* since it went */
};

struct gateway {
    struct options options;
    const char *node; /* node_name() */
    struct redis_url redis_url;
    struct read_preference_weights weights; /* SUBSCRIBE_WEIGHTS */
    h2o_url_t publisher_url;
    const struct proxies *proxies;
    struct limits *limits;
    SSL_CTX *tls; /* NULL: no TLS */
    SSL_CTX *publisher_tls; /* NULL: PUBLISHER_URL is plain */
    h2o_handler_t *proxy; /* to the publisher */
    struct access *access; /* NULL: everything is open */
    int tls_port; /* the bound one; 0 without TLS */
    h2o_globalconf_t conf, admin_conf;
    h2o_hostconf_t *hosts[2], *admin_hosts[2];
    h2o_context_t ctx; /* of the main thread */
    h2o_accept_ctx_t admin_accept;
    struct listener *admin_listener;
    struct admin_check checks[4]; /* of /readyz */
    size_t check_count;
    struct ready_watch ready_watch;
    struct capacity capacity[2]; /* of PORT and HTTP_PORT */
    struct admin_check *alive; /* one a worker with a thread of its own */
    struct feed *feed;
    struct announce announce;
    struct status *status; /* NULL with STATUS_MS=0 */
    bool alone; /* one worker, which shares the main thread and its loop: nothing crosses between threads then */
    uint32_t worker_count;
    struct worker *workers;
    h2o_multithread_receiver_t **tells; /* of each worker */
    pthread_barrier_t barrier; /* of the workers and the main thread, at the start */
    size_t max_connections, max_forwards;
    struct publisher_state publisher;
    bool draining, stopped;
    uint64_t drained_ms; /* when the last stream was seen gone; 0: not yet */
    struct timer drain_timer;
    int fd, plain_fd, admin_fd; /* listening; -1 where there is none */
};

/* The config_table.prepare of the gateway whose options these are: reads all texts and files. */
const char *gateway_prepare(void *options);

/* In this order, once each, on the main thread, after gateway_prepare(). A failed start dies with a sentence. */
void gateway_listen(struct gateway *gateway);
void gateway_start(struct gateway *gateway); /* the bus, then the workers, then the accepting */
void gateway_run(struct gateway *gateway); /* until SIGTERM or SIGINT */

/* The worker whose context serves this request. */
static inline struct worker *worker_of(h2o_req_t *req)
{
    return H2O_STRUCT_FROM_MEMBER(struct worker, ctx, req->conn->ctx);
}
