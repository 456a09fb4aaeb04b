#include "proto/bus/marker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/bus/channel_slot.h"
#include "runtime/redis/redis_error.h"
#include "runtime/redis/resp.h"

enum { BIRTHS = 1 << 16 }; /* names tried: enough where a shard has but one of the slots */

struct marker_read {
    marker_cb cb;
    born_cb born_cb; /* … or this one */
    void *data;
    const char *why;
    uint32_t answered, sent; /* of the commands below, in their order */
    bool denied; /* the user may not read one of the keys */
    struct marker marker;
};

/* ---- one answer each ---- */

static const char *take_time(struct marker *marker, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || resp_text(reply->element[0]).p == NULL ||
        resp_text(reply->element[1]).p == NULL)
        return "Redis does not tell its time";
    marker->now_ms = strtoull(reply->element[0]->str, NULL, 10) * 1000 + strtoull(reply->element[1]->str, NULL, 10) / 1000;
    return NULL;
}

static const char *take_born(struct marker *marker, const redisReply *reply)
{
    marker->born_ms = resp_text(reply).p == NULL ? 0 : strtoull(reply->str, NULL, 10);
    return NULL;
}

/* An invalid marker counts as absent. */
static const char *take_last(struct marker *marker, const redisReply *reply)
{
    struct slice text = resp_text(reply);
    if (text.p == NULL || !position_parse(&marker->last, text))
        marker->last = POSITION_NONE;
    return NULL;
}

static const char *take_newest(struct marker *marker, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY)
        return "Redis refused to read the history";
    const redisReply *entry = reply->elements == 0 ? NULL : reply->element[0];
    bool has_id = entry != NULL && entry->type == REDIS_REPLY_ARRAY && entry->elements != 0;
    marker->bare = entry == NULL;
    if (!marker->bare && (!has_id || !position_parse(&marker->newest, resp_text(entry->element[0]))))
        return "Redis sent a malformed history";
    return NULL;
}

static const char *(*const takers[])(struct marker *marker, const redisReply *reply) = {take_time, take_born, take_last,
                                                                                        take_newest};

/* A user who may not read markers finds none; all other errors are failures. */
static const char *fault_of(const redisReply *reply)
{
    const char *down = redis_error_down(reply);
    if (down != NULL)
        return down;
    return redis_error_is(reply, "NOPERM ") || redis_error_is(reply, "WRONGTYPE ") ? NULL : "Redis refused to read the marker";
}

static void finish(struct marker_read *read)
{
    if (read->born_cb != NULL)
        read->born_cb(read->data, read->marker.now_ms, read->marker.born_ms, read->denied, read->why);
    else if (read->cb != NULL)
        read->cb(read->data, read->why == NULL ? &read->marker : NULL, read->why);
    free(read);
}

static void on_reply(void *data, const redisReply *reply, const char *why)
{
    struct marker_read *read = data;
    const char *fault = reply == NULL ? why : redis_error(reply) ? fault_of(reply) : NULL;
    read->denied = read->denied || (reply != NULL && redis_error_is(reply, "NOPERM "));
    if (fault == NULL)
        fault = takers[read->answered](&read->marker, reply);
    read->why = read->why == NULL ? fault : read->why;
    if (++read->answered == read->sent)
        finish(read);
}

/* False: nothing was sent, and the read is freed; it must not be used any more. */
static bool begin(struct redis *redis, struct marker_read *read)
{
    read->sent = 1;
    if (redis_command(redis, (struct slice[]){SLICE("TIME")}, 1, on_reply, read))
        return true;
    free(read);
    return false;
}

static void send_more(struct redis *redis, struct marker_read *read, const struct slice *argv, size_t argc)
{
    if (read->why == NULL && redis_command(redis, argv, argc, on_reply, read))
        ++read->sent;
    else
        read->why = "too many bytes are waiting to be sent to Redis";
}

/* ---- interface ---- */

struct marker_read *marker_read(struct redis *redis, struct slice channel, const char *born, marker_cb cb, void *data)
{
    char last[CHANNEL_KEY_MAX], log[CHANNEL_KEY_MAX];
    struct slice last_key = slice_make(last, channel_last(last, channel)), log_key = slice_make(log, channel_log(log, channel));
    struct marker_read *read = h2o_mem_alloc(sizeof(*read));
    *read = (struct marker_read){.cb = cb, .data = data};
    if (!begin(redis, read))
        return NULL;
    send_more(redis, read, (struct slice[]){SLICE("GET"), slice_of(born)}, 2);
    send_more(redis, read, (struct slice[]){SLICE("GET"), last_key}, 2);
    send_more(redis, read, (struct slice[]){SLICE("XREVRANGE"), log_key, SLICE("+"), SLICE("-"), SLICE("COUNT"), SLICE("1")}, 6);
    return read;
}

void marker_cancel(struct marker_read *read)
{
    read->cb = NULL;
}

void born_key(char out[CHANNEL_KEY_MAX], const struct shards *shards, const struct shard *shard)
{
    char name[24];
    out[0] = 0;
    for (uint32_t number = 0; number < BIRTHS; ++number) {
        snprintf(name, sizeof(name), BORN_NAME, number);
        if (shards_of(shards, channel_slot(slice_of(name))) == shard) {
            channel_own_key(out, slice_of(name));
            return;
        }
    }
}

bool born_read(struct redis *redis, const char *key, born_cb cb, void *data)
{
    struct marker_read *read = h2o_mem_alloc(sizeof(*read));
    *read = (struct marker_read){.born_cb = cb, .data = data};
    if (!begin(redis, read))
        return false;
    send_more(redis, read, (struct slice[]){SLICE("GET"), slice_of(key)}, 2);
    return true;
}

struct set {
    born_set_cb cb;
    void *data;
};

static void on_set(void *data, const redisReply *reply, const char *why)
{
    struct set *set = data;
    (void)why;
    if (set->cb != NULL)
        set->cb(set->data, reply != NULL && redis_error_is(reply, "NOPERM "));
    free(set);
}

void born_set(struct redis *redis, const char *key, uint64_t now_ms, born_set_cb cb, void *data)
{
    char text[24];
    struct set *set = h2o_mem_alloc(sizeof(*set));
    struct slice argv[] = {SLICE("SET"), slice_of(key), slice_make(text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, now_ms)),
                           SLICE("NX")};
    *set = (struct set){.cb = cb, .data = data};
    if (!redis_command(redis, argv, 4, on_set, set))
        free(set);
}
