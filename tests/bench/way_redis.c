/* Through Redis, pipelined over one connection. */
#include "tests/bench/way.h"

#include <stdio.h>
#include <string.h>

#include "tests/bench/bench.h"
#include "tests/bench/courier.h"

static size_t copied(char *out, char *command, int n)
{
    if (n < 0)
        bench_fail("redis: out of memory");
    memcpy(out, command, (size_t)n);
    redisFreeCommand(command);
    return (size_t)n;
}

/* proto/README.md, "Publishing". */
static size_t durable_request(char *out, const char *path, unsigned channel, const char *payload, size_t size)
{
    char *command;
    (void)path;
    int n = redisFormatCommand(&command, "FCALL sse_publish 1 sse:bench-%u %b", channel, payload, size);
    return copied(out, command, n);
}

static char *many_text(char *out, const char *text, size_t size)
{
    out += sprintf(out, "$%zu\r\n", size);
    memcpy(out, text, size);
    memcpy(out + size, "\r\n", 2);
    return out + size + 2;
}

static size_t many_request(char *out, unsigned channel, const char *payloads, size_t size, unsigned count)
{
    char key[32], *end = out + sprintf(out, "*%u\r\n", 4 + 2 * count);
    end = many_text(end, "FCALL", 5);
    end = many_text(end, "sse_publish_many", 16);
    end = many_text(end, "1", 1);
    end = many_text(end, key, (size_t)sprintf(key, "sse:bench-%u", channel));
    for (unsigned i = 0; i < count; ++i) {
        end = many_text(end, "data", 4);
        end = many_text(end, payloads + i * size, size);
    }
    return (size_t)(end - out);
}

static size_t plain_request(char *out, const char *path, unsigned channel, const char *payload, size_t size)
{
    char *command;
    (void)path;
    int n = redisFormatCommand(&command, "PUBLISH bench-%u %b", channel, payload, size);
    return copied(out, command, n);
}

/* PUBLISH answers a number; sse_publish id, position and outcome, sse_publish_many the outcome first; and anything but "published" did not happen. */
static const char *refusal(const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_INTEGER)
        return NULL;
    if (reply->type == REDIS_REPLY_ERROR)
        return reply->str;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[2]->type != REDIS_REPLY_STRING)
        return "an unexpected answer";
    const char *first = reply->element[0]->str, *last = reply->element[2]->str;
    return strcmp(first, "published") == 0 || strcmp(last, "published") == 0 ? NULL : last;
}

static void answers(struct courier *courier)
{
    void *reply;
    if (courier->redis == NULL)
        courier->redis = redisReaderCreate();
    if (courier->redis == NULL ||
        redisReaderFeed(courier->redis, courier->in.p + courier->in.start, courier->in.end - courier->in.start) != REDIS_OK)
        bench_fail("redis: out of memory");
    courier->in.start = courier->in.end;
    while (redisReaderGetReply(courier->redis, &reply) == REDIS_OK && reply != NULL) {
        const char *why = refusal(reply);
        courier_answered(courier, why, why == NULL ? 0 : strlen(why));
        freeReplyObject(reply);
    }
    if (courier->redis->err != 0)
        bench_fail("redis: %s", courier->redis->errstr);
}

const struct way way_redis = {.name = "redis", .couriers = 1, .request = durable_request, .answers = answers};
const struct way way_redis_many = {.name = "redis-many", .couriers = 1, .request_many = many_request, .answers = answers};
const struct way way_redis_plain = {.name = "redis-plain", .couriers = 1, .request = plain_request, .answers = answers};
