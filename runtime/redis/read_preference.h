/* At which node of a shard messages are listened for: at its primary or one of its replicas, chosen at random by weight, and kept as long as it is one of
 * them. Redis passes
 * what is published at the primary on to the replicas. */
#pragma once

#include "runtime/redis/topology.h"

enum { READING_NODES_MAX = 9, READING_WEIGHT_MAX = 100 };

/* Of each node of the kind; all 0: the primary. */
struct read_preference_weights {
    unsigned primary, replica;
};

struct read_preference {
    struct topology topology; /* its `node` is the one that was chosen; NULL: none was yet */
    struct read_preference_weights weights;
    struct redis_node nodes[READING_NODES_MAX]; /* the primary first */
    size_t count;
    struct redis_node node;
    uint64_t chosen_ms;
    unsigned asks; /* since it was chosen, or last worked for a while */
};

/* Reads "primary=1,replica=3": each at most once, 0 to READING_WEIGHT_MAX, not all 0. NULL, or a static sentence. */
const char *read_preference_weights_parse(struct read_preference_weights *out, const char *text);

/* topology's ask, late and doubt are the caller's to set; ask has to call read_preference_ask(). */
void read_preference_init(struct read_preference *preference, const struct redis_url *url, const struct read_preference_weights *weights);
void read_preference_ask(struct read_preference *preference);

/* Who is in the shard now; the primary first, at most READING_NODES_MAX count. Connections to one that is not leave. */
void read_preference_set(struct read_preference *preference, const struct redis_node *nodes, size_t count);

/* Answers the caller. A node that is asked for repeatedly does not work: another one is chosen, if there is one. */
void read_preference_answer(struct read_preference *preference);
