/* Opens the bus that REDIS_URL names: a cluster's shards, or the only one, which sentinels may watch over. */
#pragma once

#include "runtime/redis/shards.h"

struct shards *shards_open(const struct shards_options *options);
