/* The current address of a Redis: what REDIS_URL says, what its sentinels say (sentinel.h), or what its cluster says of one shard (shards.h). One serves all
 * connections of a process to
 * it, on their loop's thread. */
#pragma once

#include "runtime/h2o.h"
#include "runtime/redis/redis_url.h"

/* Who must answer there. */
enum topology_role {
    TOPOLOGY_ANY, /* whoever it is */
    TOPOLOGY_PRIMARY, /* a Redis that says it is the primary */
    TOPOLOGY_SENTINEL, /* a sentinel */
    TOPOLOGY_NODE, /* a node of the cluster, primary or not */
};

/* What one connection wants of it. */
struct topology_seeker {
    /* The answer to topology_ask(): the node to dial, which dies after the call, NULL for the socket of the URL; or a sentence why there is none now. */
    void (*on_found)(void *data, const struct redis_node *node, const char *why);
    /* Redis is at `node` from now on: a connection to another one is no longer usable. Not while it is asking. */
    void (*on_moved)(void *data, const struct redis_node *node);
    void *data;
    /* the topology's own */
    h2o_linklist_t link;
    bool asking; /* … which the seeker may clear: it waits for no answer any more */
};

struct topology {
    const struct redis_url *url;
    enum topology_role role;
    h2o_linklist_t seekers;
    const struct redis_node *node; /* where there is but one; NULL: the socket of the URL */
    /* what makes its kind */
    void (*ask)(struct topology *topology); /* topology_found() will be called */
    const char *(*late)(struct topology *topology); /* a sentence for an answer that takes too long */
    void (*doubt)(struct topology *topology); /* NULL: nobody to ask */
    void *owner; /* free for the kind */
};

/* One node; NULL: the socket of the URL. The memory is the caller's and needs no closing, but no seeker may be left when it goes. */
void topology_init_node(struct topology *topology, const struct redis_url *url, const struct redis_node *node,
                        enum topology_role role);

/* The seeker's memory stays until it leaves. */
void topology_join(struct topology *topology, struct topology_seeker *seeker);
void topology_leave(struct topology_seeker *seeker);

/* on_found runs once, perhaps before this returns; or never, where the seeker clears `asking`. */
void topology_ask(struct topology *topology, struct topology_seeker *seeker);

/* An answer tells that things are not where they were said to be: to be asked again, soon. */
void topology_doubt(struct topology *topology);

/* A static sentence: why a connection goes when Redis is elsewhere. */
const char *topology_elsewhere(const struct topology *topology);

/* For the kinds. Everybody who asks is answered. */
void topology_found(struct topology *topology, const struct redis_node *node, const char *why);
/* The others are told. */
void topology_moved(struct topology *topology, const struct redis_node *node);
