#include "proto/bus/history.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/bus/redis_error.h"
#include "proto/channel.h"

struct request {
    history_cb cb;
    void *data;
    struct position after;
    size_t limit;
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

/* Callers rely on the order and the number: who pages on from the last entry must not come back to it. */
static const char *read_entries(struct history_entry *out, const redisReply *reply, const struct request *request)
{
    struct position before = request->after;
    size_t count = reply->elements;
    if (count > request->limit)
        return "Redis answered with more entries than were asked for";
    for (size_t i = 0; i < count; ++i)
        if (!read_entry(&out[request->newest_first ? count - 1 - i : i], reply->element[i]))
            return "Redis answered with something that is no stream entry";
    for (size_t i = 0; i < count; before = out[i++].at)
        if (position_compare(out[i].at, before) <= 0)
            return "Redis answered with entries that are out of order";
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
    if (reply != NULL && reply->type != REDIS_REPLY_ARRAY) {
        why = error_sentence(reply);
    } else if (reply != NULL) {
        count = reply->elements;
        entries = h2o_mem_alloc((count + 1) * sizeof(*entries));
        why = read_entries(entries, reply, request);
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
    request->limit = limit;
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
                      (struct request){.cb = cb, .data = data, .after = after});
}

bool history_last(struct redis *redis, struct slice channel, size_t limit, history_cb cb, void *data)
{
    return send_range(redis, SLICE("XREVRANGE"), channel, SLICE("+"), SLICE("-"), limit,
                      (struct request){.cb = cb, .data = data, .newest_first = true});
}
