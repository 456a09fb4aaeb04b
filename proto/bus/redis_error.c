#include "proto/bus/redis_error.h"

bool redis_error(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR;
}

bool redis_error_is(const redisReply *reply, const char *start)
{
    return redis_error(reply) && slice_starts(slice_make(reply->str, reply->len), slice_of(start));
}

const char *redis_error_down(const redisReply *reply)
{
    static const struct {
        const char *start, *why;
    } classes[] = {
        {"LOADING ", "Redis is loading its data"},
        {"READONLY ", "Redis is a read-only replica"},
        {"OOM ", "Redis is out of memory"},
        {"MASTERDOWN ", "Redis is a replica that has lost its master"},
        {"CLUSTERDOWN ", "the Redis cluster is down"},
        {"TRYAGAIN ", "the Redis cluster is moving this channel"},
        {"ASK ", "the Redis cluster is moving this channel"},
        {"MOVED ", "the Redis cluster has moved this channel"},
        {"BUSY ", "Redis is busy running a script"},
        {"MISCONF ", "Redis can't save to disk and refuses writes"},
        {"NOREPLICAS ", "Redis has too few replicas to accept writes"},
        {"UNKILLABLE ", "Redis is busy running a script"},
        {"NOAUTH ", "Redis wants a password"},
        {"DENIED ", "Redis is in protected mode: it refuses other machines until it has a password"},
        {"ERR max number of clients", "Redis has reached its limit of clients"},
    };
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); ++i)
        if (redis_error_is(reply, classes[i].start))
            return classes[i].why;
    return NULL;
}
