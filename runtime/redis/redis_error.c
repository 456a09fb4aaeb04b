#include "runtime/redis/redis_error.h"

bool redis_error(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR;
}

bool redis_error_is(const redisReply *reply, const char *start)
{
    return redis_error(reply) && slice_starts(slice_make(reply->str, reply->len), slice_of(start));
}

struct class
{
    const char *start, *why;
    bool unwritable; /* reads may go on */
};

static const struct class *class_of(const redisReply *reply)
{
    static const struct class classes[] = {
        {"READONLY ", "Redis is a read-only replica", true},
        {"OOM ", "Redis is out of memory and refuses writes", true},
        {"MISCONF ", "Redis can't save to disk and refuses writes", true},
        {"NOREPLICAS ", "Redis has too few replicas to accept writes", true},
        {"LOADING ", "Redis is loading its data", false},
        {"MASTERDOWN ", "Redis is a replica that has lost its master", false},
        {"CLUSTERDOWN ", "the Redis cluster is down", false},
        {"TRYAGAIN ", "the Redis cluster is moving this channel", false},
        {"ASK ", "the Redis cluster is moving this channel", false},
        {"MOVED ", "the Redis cluster has moved this channel", false},
        {"BUSY ", "Redis is busy running a script", false},
        {"UNKILLABLE ", "Redis is busy running a script", false},
        {"NOAUTH ", "Redis requires a password", false},
        {"DENIED ", "Redis is in protected mode: it refuses other machines until it has a password", false},
        {"ERR max number of clients", "Redis has reached its limit of clients", false},
    };
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); ++i)
        if (redis_error_is(reply, classes[i].start))
            return &classes[i];
    return NULL;
}

const char *redis_error_down(const redisReply *reply)
{
    const struct class *class = class_of(reply);
    return class == NULL ? NULL : class->why;
}

const char *redis_error_unwritable(const redisReply *reply)
{
    const struct class *class = class_of(reply);
    return class == NULL || !class->unwritable ? NULL : class->why;
}
