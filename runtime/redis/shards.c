#include "runtime/redis/shards.h"

#include <stdio.h>

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
