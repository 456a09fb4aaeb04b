#include "proto/bus/history.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/bus/redis_error.h"
#include "proto/channel.h"

struct request {
    history_cb cb;
    void *data;
    bool newest_first; /* as Redis answers XREVRANGE */
};

static struct slice text_of(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? slice_make(reply->str, reply->len) : (struct slice){NULL, 0};
}

/* An entry is [id, [field, value, ...]]. */
static bool read_entry(struct history_entry *out, const redisReply *entry)
{
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 || entry->element[1]->type != REDIS_REPLY_ARRAY)
        return false;
    const redisReply *fields = entry->element[1];
    out->payload = (struct slice){NULL, 0};
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        if (slice_eq(text_of(fields->element[i]), SLICE("m")))
            out->payload = text_of(fields->element[i + 1]);
    return position_parse(&out->at, text_of(entry->element[0]));
}

static const char *read_entries(struct history_entry *out, const redisReply *reply, bool newest_first)
{
    for (size_t i = 0; i < reply->elements; ++i)
        if (!read_entry(&out[newest_first ? reply->elements - 1 - i : i], reply->element[i]))
            return "Redis answered with something that is no stream entry";
    return NULL;
}

static const char *error_sentence(const redisReply *reply)
{
    const char *down = redis_error_down(reply);
    if (down != NULL)
        return down;
    if (redis_error_is(reply, "NOPERM "))
        return "the Redis user may not read the history";
    if (redis_error_is(reply, "WRONGTYPE "))
        return "the key of the channel's history holds something else";
    return "Redis refused to read the history";
}

static void on_reply(void *data, const redisReply *reply, const char *why)
{
    struct request *request = data;
    struct history_entry *entries = NULL;
    size_t count = 0;
    if (reply != NULL && reply->type != REDIS_REPLY_ARRAY)
        why = error_sentence(reply);
    if (why == NULL) {
        count = reply->elements;
        entries = h2o_mem_alloc((count + 1) * sizeof(*entries));
        why = read_entries(entries, reply, request->newest_first);
    }
    if (why == NULL)
        request->cb(request->data, entries, count, NULL);
    else
        request->cb(request->data, NULL, 0, why);
    free(entries);
    free(request);
}

static bool send_range(struct redis *redis, struct slice command, struct slice channel, struct slice from, struct slice to,
                       size_t limit, struct request made)
{
    char key[CHANNEL_KEY_MAX], count[24];
    size_t key_len = channel_log(key, channel), count_len = (size_t)snprintf(count, sizeof(count), "%zu", limit);
    struct slice argv[] = {command, slice_make(key, key_len), from, to, SLICE("COUNT"), slice_make(count, count_len)};
    struct request *request = h2o_mem_alloc(sizeof(*request));
    *request = made;
    bool queued = redis_command(redis, argv, sizeof(argv) / sizeof(argv[0]), on_reply, request);
    if (!queued)
        free(request);
    return queued;
}

bool history_after(struct redis *redis, struct slice channel, struct position after, size_t limit, history_cb cb, void *data)
{
    char from[1 + POSITION_TEXT_MAX] = "(";
    size_t n = position_format(from + 1, after);
    return send_range(redis, SLICE("XRANGE"), channel, slice_make(from, 1 + n), SLICE("+"), limit,
                      (struct request){.cb = cb, .data = data});
}

bool history_last(struct redis *redis, struct slice channel, size_t limit, history_cb cb, void *data)
{
    return send_range(redis, SLICE("XREVRANGE"), channel, SLICE("+"), SLICE("-"), limit,
                      (struct request){.cb = cb, .data = data, .newest_first = true});
}
