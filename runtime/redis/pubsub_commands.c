#include "runtime/redis/pubsub_commands.h"

#define WORD(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }

static const struct pubsub_commands plain = {
    .publish = WORD("PUBLISH"),
    .subscribe = WORD("SUBSCRIBE"),
    .unsubscribe = WORD("UNSUBSCRIBE"),
    .subscribed = WORD("subscribe"),
    .unsubscribed = WORD("unsubscribe"),
    .message = WORD("message"),
};

static const struct pubsub_commands sharded = {
    .sharded = true,
    .publish = WORD("SPUBLISH"),
    .subscribe = WORD("SSUBSCRIBE"),
    .unsubscribe = WORD("SUNSUBSCRIBE"),
    .subscribed = WORD("ssubscribe"),
    .unsubscribed = WORD("sunsubscribe"),
    .message = WORD("smessage"),
};

const struct pubsub_commands *pubsub_commands(const struct redis_url *url)
{
    return url->kind == REDIS_CLUSTER ? &sharded : &plain;
}
