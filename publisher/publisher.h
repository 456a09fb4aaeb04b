/* The publisher process: one loop on the main thread that carries the public and the admin listener, the Redis connection and the
 * tickers. Single-threaded: nothing here is shared. */
#pragma once

#include "proto/bus/publish.h"
#include "publisher/options.h"
#include "publisher/ticker.h"
#include "runtime/capacity.h"
#include "runtime/net/listener.h"
#include "runtime/net/tls.h"

struct publisher {
    struct options options;
    h2o_globalconf_t conf;
    h2o_context_t ctx;
    h2o_hostconf_t *hosts[2]; /* one and NULL: of the public port, which does not see the admin port's */
    h2o_accept_ctx_t accept;
    struct listener *listener;
    int fd; /* listening, until publisher_start() */
    struct tls_slot tls; /* of `accept`; empty: plain */
    h2o_multithread_receiver_t getaddr;
    struct publish *bus;
    size_t max_connections;
    struct capacity capacity;
    struct ticker tickers[TICK_KINDS];
};

/* The config_table.prepare of the publisher whose options these are: reads all texts and files. */
const char *publisher_prepare(void *options);

/* In this order, once each, after publisher_prepare(). A failed start dies with a sentence. */
void publisher_bind(struct publisher *publisher); /* the ports */
void publisher_start(struct publisher *publisher); /* the bus, then the tickers, then the accepting */
void publisher_run(struct publisher *publisher); /* until SIGTERM or SIGINT, and the answers under way are out: at most 5 s more */
