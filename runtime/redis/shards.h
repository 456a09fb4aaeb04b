/* The bus as shards. Each is a Redis with its replicas that has some of the hash slots: with redis-cluster:// there are as many as the cluster has primaries with slots,
 * else there is one that has them all. Shards come and go, slots move between them, and each has its own topology. One loop's thread. */
#pragma once

#include "runtime/redis/read_preference.h"
#include "runtime/redis/slot.h"
#include "runtime/redis/topology.h"

struct shard {
    struct topology *topology; /* for the connections to its primary */
    struct topology *reading; /* … and for those that only listen: see read_preference.h */
    const char *primary; /* its id in the cluster; "" where there is none */
    void *owner; /* free for the owner */
};

struct shards_options {
    h2o_loop_t *loop;
    h2o_multithread_receiver_t *getaddr; /* see struct redis_options */
    const struct redis_url *url; /* borrowed */
    struct read_preference_weights weights; /* of a cluster */
    /* A new one, perhaps before shards_open() returns; it has slots from the next on_moved on. */
    void (*on_shard)(void *data, struct shard *shard);
    /* It has no slots any more, shards_of() says already, and its memory goes after the call: no connection may be left that uses its topologies. */
    void (*on_gone)(void *data, struct shard *shard);
    /* Some slots belong to another shard now, or to none: see shards_of(). */
    void (*on_moved)(void *data);
    void *data;
};

struct shards {
    struct shards_options options;
    struct shard *all; /* has all slots; or NULL, and */
    struct shard **by_slot; /* … these have them */
    /* what makes its kind; why: NULL where nothing can be wrong */
    const char *(*why)(struct shards *shards);
    void (*close)(struct shards *shards);
};

void shards_close(struct shards *shards); /* when no connection is left; on_gone is not called */

/* Who has the slot; NULL: nobody, or nobody has said yet. */
static inline struct shard *shards_of(const struct shards *shards, uint16_t slot)
{
    return shards->all != NULL ? shards->all : shards->by_slot[slot];
}

/* NULL, or why there are slots that no shard is known to have; valid until the next turn of the loop. */
const char *shards_why(struct shards *shards);

/* What is wrong with one of them as a sentence about the bus: names it where there are several. Writes at most n bytes with a NUL; returns `out`. */
char *shard_sentence(char *out, size_t n, const struct shards *shards, const struct shard *shard, const char *why);
