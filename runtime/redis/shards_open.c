#include "runtime/redis/shards_open.h"

#include <stdlib.h>

#include "runtime/redis/cluster.h"
#include "runtime/redis/sentinel.h"

/* Without a cluster one shard has all slots. */
struct single {
    struct shards shards;
    struct shard shard;
    struct topology plain; /* where there are no sentinels */
};

static void close_single(struct shards *shards)
{
    struct single *single = H2O_STRUCT_FROM_MEMBER(struct single, shards, shards);
    if (single->shard.topology != &single->plain)
        sentinel_close(single->shard.topology);
    free(single);
}

static struct shards *open_single(const struct shards_options *options)
{
    const struct redis_url *url = options->url;
    struct single *single = h2o_mem_alloc(sizeof(*single));
    *single = (struct single){.shards = {.options = *options, .close = close_single}};
    topology_init_node(&single->plain, url, url->kind == REDIS_UNIX ? NULL : &url->nodes[0], TOPOLOGY_ANY);
    single->shard.topology = url->kind == REDIS_SENTINEL ? sentinel_open(options->loop, options->getaddr, url) : &single->plain;
    single->shard.reading = single->shard.topology;
    single->shard.primary = "";
    single->shards.all = &single->shard;
    options->on_shard(options->data, &single->shard);
    return &single->shards;
}

struct shards *shards_open(const struct shards_options *options)
{
    return options->url->kind == REDIS_CLUSTER ? cluster_open(options) : open_single(options);
}
