/* The words of Redis's pub/sub: plain, or sharded, where a channel belongs to the shard of its slot. */
#pragma once

#include "runtime/redis/redis_url.h"

struct pubsub_commands {
    bool sharded; /* then one SUBSCRIBE is for channels of one slot */
    struct slice publish, subscribe, unsubscribe;
    struct slice subscribed, unsubscribed, message; /* what the answers and messages begin with */
};

const struct pubsub_commands *pubsub_commands(const struct redis_url *url);
