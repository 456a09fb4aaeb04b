/* One node's view of a Redis Cluster (which node has which slots, and where the nodes are), and the merged view of several nodes. Pure. */
#pragma once

#include <hiredis/hiredis.h>

#include "runtime/redis/redis_url.h"
#include "runtime/redis/slot.h"

enum { CLUSTER_NODES_MAX = 1024, CLUSTER_ID_MAX = 41 };

struct cluster_node {
    char id[CLUSTER_ID_MAX];
    struct redis_node at;
    uint64_t epoch; /* config epoch: of two nodes that are said to have a slot, the one with the higher epoch took it later */
    uint16_t primary; /* 1 + index of the node whose replica it is; 0: it is none */
};

struct cluster_view {
    size_t count;
    struct cluster_node *nodes; /* malloc'd: the primaries that have slots, and their replicas; in no order */
    uint16_t self; /* 1 + index of the node that says so; 0: it is none of them, or not known */
    uint16_t owner[SLOTS]; /* 1 + index of the node that has the slot; 0: none */
};

/* Zeroed memory is an empty view. */
void cluster_view_dispose(struct cluster_view *view);

/* Reads the answer to CLUSTER SLOTS of the node at `asked` into an empty view, epochs 0. NULL, or a static sentence. */
const char *cluster_view_read_slots(struct cluster_view *out, const redisReply *reply, const struct redis_node *asked);

/* Reads the epochs, and the answering node, from the answer to CLUSTER NODES. */
const char *cluster_view_read_epochs(struct cluster_view *view, const redisReply *reply);

bool cluster_view_eq(const struct cluster_view *a, const struct cluster_view *b);

/* Into an empty view, of the owners and their replicas: each slot's owner is the one with the highest epoch; where two have the same, what `before` says. What others say a node has does not
 * count where it says itself that it has not, unless there is nothing else. */
void cluster_view_merge(struct cluster_view *out, const struct cluster_view *const *views, size_t count,
                        const struct cluster_view *before);
