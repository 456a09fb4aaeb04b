/* The shards of a Redis Cluster: asks its nodes for the slot map again and again, and believes for each slot the node that took it last.
 *
 * One connection to each of a few nodes, whatever the number of connections to shards: those that REDIS_URL names, and those they name. All are asked at the start,
 * every two seconds, and soon when a connection is lost or an answer tells that something has moved. */
#pragma once

#include "runtime/redis/shards.h"

struct shards *cluster_open(const struct shards_options *options);
