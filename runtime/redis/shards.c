#include "runtime/redis/shards.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/redis/cluster.h"

/* ---- one that has all slots ---- */

struct single {
    struct shards shards;
    struct shard shard;
};

static void close_single(struct shards *shards)
{
    struct single *single = H2O_STRUCT_FROM_MEMBER(struct single, shards, shards);
    topology_close(single->shard.topology);
    free(single);
}

static struct shards *open_single(const struct shards_options *options)
{
    struct single *single = h2o_mem_alloc(sizeof(*single));
    struct topology_options topology = {.loop = options->loop, .getaddr = options->getaddr, .url = options->url};
    *single = (struct single){.shards = {.options = *options, .close = close_single}};
    single->shard.topology = single->shard.reading = topology_open(&topology);
    single->shard.primary = "";
    single->shards.all = &single->shard;
    options->on_shard(options->data, &single->shard);
    return &single->shards;
}

/* ---- interface ---- */

struct shards *shards_open(const struct shards_options *options)
{
    return options->url->kind == REDIS_CLUSTER ? cluster_open(options) : open_single(options);
}

void shards_close(struct shards *shards)
{
    shards->close(shards);
}

const char *shards_why(struct shards *shards)
{
    return shards->why == NULL ? NULL : shards->why(shards);
}

char *shard_sentence(char *out, size_t n, const struct shards *shards, const struct shard *shard, const char *why)
{
    char place[272];
    if (shards->all == NULL)
        snprintf(out, n, "shard %s: %s", redis_node_place(place, sizeof(place), shards->options.url, shard->topology->node), why);
    else
        snprintf(out, n, "%s", why);
    return out;
}
