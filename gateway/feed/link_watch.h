/* For a subscription at a replica: watches whether it received everything that its primary sent it. That travels on one connection of the cluster's own, in order;
 * what is under way is lost without a word when it breaks; the replica knows when it was made. Bus thread only. */
#pragma once

#include "runtime/redis/redis.h"
#include "runtime/redis/shards.h"

struct link_watch;

struct link_watch_options {
    const struct redis_options *redis; /* on_*, data, name and topology are ignored */
    const struct shard *shard; /* outlives it */
    /* What was asked for: the connection is the one that it was before, or there is none in between. */
    void (*on_good)(void *data);
    /* It is another one, or it is known for the first time since link_watch_forget(): what was passed on before now may be lost. on_good follows. */
    void (*on_broken)(void *data);
    void *data;
};

struct link_watch *link_watch_open(const struct link_watch_options *options);
void link_watch_close(struct link_watch *watch);

/* A canary came that way, which shows that the primary passes on: asks. While one question is under way, one more will follow it; no answer comes while there is no connection.
 * Not asked sooner: a primary does not pass on to a replica that it does not know yet. */
void link_watch_check(struct link_watch *watch);

/* The subscriber connection is a new one. */
void link_watch_forget(struct link_watch *watch);

/* NULL, or why it can't ask. */
const char *link_watch_why(const struct link_watch *watch);
