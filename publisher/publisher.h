/* The publisher process: one loop on the main thread that carries the public and the admin listener, the Redis connection and the
 * tickers. Single-threaded: nothing here is shared. */
#pragma once

#include "proto/bus/publish.h"
#include "publisher/options.h"
#include "publisher/ticker.h"
#include "runtime/admin.h"
#include "runtime/announce.h"
#include "runtime/capacity.h"
#include "runtime/net/listener.h"
#include "runtime/net/tls.h"
#include "runtime/ready_watch.h"

enum publisher_state {
    PUBLISHER_RUNNING,
    PUBLISHER_DRAINING, /* told to stop: answers under way are finished */
    PUBLISHER_DONE,
};

struct publisher {
    struct options options;
    enum publisher_state state;
    h2o_globalconf_t conf;
    h2o_context_t ctx;
    h2o_hostconf_t *public_hosts[2], *admin_hosts[2]; /* one and NULL: each listener sees only its own */
    h2o_accept_ctx_t public_accept, admin_accept;
    struct listener *public_listener, *admin_listener;
    int public_fd, admin_fd; /* listening, until publisher_listen() */
    struct tls_slot tls; /* of public_accept; empty: plain */
    h2o_multithread_receiver_t getaddr;
    struct publish *bus;
    bool bus_up; /* as last seen */
    size_t max_connections;
    struct capacity capacity;
    struct admin_check checks[3];
    struct ready_watch ready_watch;
    struct announce announce;
    struct ticker tickers[TICK_KINDS];
};

/* The config_table.prepare of the publisher whose options these are: reads all texts and files. */
const char *publisher_prepare(void *options);

/* In this order, once each, after publisher_prepare(). A failed start dies with a sentence. */
void publisher_bind(struct publisher *publisher); /* the ports */
void publisher_open(struct publisher *publisher); /* the loop, its h2o context and the connection to Redis */
void publisher_listen(struct publisher *publisher);
void publisher_run(struct publisher *publisher); /* until SIGTERM or SIGINT, and the answers under way are out: at most 5 s more */
void publisher_close(struct publisher *publisher);
