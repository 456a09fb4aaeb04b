#include "proto/bus/pubsub_words.h"

#define WORD(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }

static const struct pubsub_words plain = {
    .publish = WORD("PUBLISH"),
    .subscribe = WORD("SUBSCRIBE"),
    .unsubscribe = WORD("UNSUBSCRIBE"),
    .subscribed = WORD("subscribe"),
    .unsubscribed = WORD("unsubscribe"),
    .message = WORD("message"),
};

static const struct pubsub_words sharded = {
    .sharded = true,
    .publish = WORD("SPUBLISH"),
    .subscribe = WORD("SSUBSCRIBE"),
    .unsubscribe = WORD("SUNSUBSCRIBE"),
    .subscribed = WORD("ssubscribe"),
    .unsubscribed = WORD("sunsubscribe"),
    .message = WORD("smessage"),
};

const struct pubsub_words *pubsub_words(const struct redis_url *url)
{
    return url->kind == REDIS_CLUSTER ? &sharded : &plain;
}
