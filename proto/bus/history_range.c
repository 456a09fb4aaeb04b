#include "proto/bus/history_range.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/channel.h"
#include "runtime/redis/redis_error.h"
#include "runtime/redis/resp.h"

/* What Redis's protocol and hiredis's reader add to an entry, about. */
enum { ENTRY_EXTRA = 64 };

struct request {
    history_range_cb cb;
    void *data;
    size_t limit;
    bool backwards;
    struct position after; /* what all entries follow */
};

/* An entry is [id, [field, value, ...]]. */
static bool read_entry(struct history_entry *out, size_t *bytes, const redisReply *entry)
{
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 || entry->element[1]->type != REDIS_REPLY_ARRAY)
        return false;
    const redisReply *fields = entry->element[1];
    out->payload = (struct slice){NULL, 0};
    *bytes += ENTRY_EXTRA;
    for (size_t i = 0; i < fields->elements; ++i)
        *bytes += resp_text(fields->element[i]).n;
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        if (slice_eq(resp_text(fields->element[i]), SLICE("m")))
            out->payload = resp_text(fields->element[i + 1]);
    return position_parse(&out->at, resp_text(entry->element[0]));
}

/* Callers rely on the order and the number: paging on from the last entry must not return to it. */
static const char *read_entries(struct history_entry *out, size_t *bytes, const redisReply *reply, const struct request *request)
{
    struct position before = request->after;
    size_t count = reply->elements;
    if (count > request->limit)
        return "Redis answered with more entries than were asked for";
    for (size_t i = 0; i < count; ++i)
        if (!read_entry(&out[request->backwards ? count - 1 - i : i], bytes, reply->element[i]))
            return "Redis answered with something that is no stream entry";
    for (size_t i = 0; i < count; before = out[i++].at)
        if (position_compare(out[i].at, before) <= 0)
            return "Redis answered with entries that are out of order";
    return NULL;
}

static const char forbidden[] = "the Redis user may not read the history of this channel";
const char history_deadly[] = "Redis closes the connection when the next event of this history is read";
static const char unusable[] = "the key of the channel's history holds something else";

/* Redis names the command where the user may not read any, and a key where it is this one. */
static bool is_of_the_key(const redisReply *reply)
{
    return redis_error_is(reply, "NOPERM ") && strstr(reply->str, " key") != NULL;
}

static const char *error_sentence(const redisReply *reply)
{
    const char *down = redis_error_down(reply);
    if (down != NULL)
        return down;
    if (is_of_the_key(reply))
        return forbidden;
    if (redis_error_is(reply, "NOPERM "))
        return "the Redis user may not read the history";
    return redis_error_is(reply, "WRONGTYPE ") ? unusable : "Redis refused to read the history";
}

enum history_fault history_fault(const char *why)
{
    return why == forbidden        ? HISTORY_FORBIDDEN
           : why == unusable       ? HISTORY_UNUSABLE
           : why == history_deadly ? HISTORY_DEADLY
                                   : HISTORY_UNREAD;
}

static void on_reply(void *data, const redisReply *reply, const char *why)
{
    struct request *request = data;
    struct history_entry *entries = NULL;
    struct history_answer answer = {.why = why, .lost = reply == NULL};
    if (reply != NULL && reply->type != REDIS_REPLY_ARRAY) {
        answer.why = error_sentence(reply);
    } else if (reply != NULL) {
        entries = h2o_mem_alloc((reply->elements + 1) * sizeof(*entries));
        answer.why = read_entries(entries, &answer.bytes, reply, request);
    }
    if (answer.why == NULL) {
        answer.entries = entries;
        answer.count = reply->elements;
    }
    request->cb(request->data, &answer);
    free(entries);
    free(request);
}

bool history_range_send(struct redis *redis, const struct history_range *range, history_range_cb cb, void *data)
{
    char key[CHANNEL_KEY_MAX], count[24], from[1 + POSITION_TEXT_MAX] = "(";
    size_t key_len = channel_log(key, range->channel), count_len = (size_t)snprintf(count, sizeof(count), "%zu", range->count);
    bool all = range->backwards && position_compare(range->from, POSITION_MAX) == 0;
    struct slice start = all ? SLICE("+") : slice_make(from, 1 + position_format(from + 1, range->from));
    struct slice argv[] = {range->backwards ? SLICE("XREVRANGE") : SLICE("XRANGE"),
                           slice_make(key, key_len),
                           start,
                           range->backwards ? SLICE("-") : SLICE("+"),
                           SLICE("COUNT"),
                           slice_make(count, count_len)};
    struct request *request = h2o_mem_alloc(sizeof(*request));
    *request = (struct request){.cb = cb,
                                .data = data,
                                .limit = range->count,
                                .backwards = range->backwards,
                                .after = range->backwards ? POSITION_NONE : range->from};
    bool queued = redis_command(redis, argv, sizeof(argv) / sizeof(argv[0]), on_reply, request);
    if (!queued)
        free(request);
    return queued;
}
