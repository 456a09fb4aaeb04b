#include "proto/bus/publish.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/bus/confirm.h"
#include "proto/bus/redis_error.h"
#include "proto/channel.h"
#include "proto/event.h"
#include "runtime/log.h"
#include "sse_lua.h" /* made of sse.lua by CMakeLists.txt */

#define LOST_SENTENCE                                                                                                           \
    "the connection to Redis was lost before it answered; the event may or may not have been published: send it again with an " \
    "Idempotency-Key"

/* What the function's own errors begin with. */
#define REFUSAL "ERR sse_publish: "

/* FCALL sse_publish 1 KEY DATA, and eight options of two words. */
enum { ARGS_MAX = 5 + 2 * 8 };

enum { REPLICAS_TIMEOUT_MS = 1000 };

enum library {
    LIBRARY_ABSENT, /* no connection */
    LIBRARY_LOADING,
    LIBRARY_LOADED,
    LIBRARY_RELOADING, /* Redis has lost it; what is sent now comes after the load and finds it */
};

struct publish {
    struct redis *redis;
    struct confirm confirm; /* replicas: 0 if none need to have it */
    enum library library;
    const char *why; /* why the last load failed; NULL: it did not */
    struct log_limit limit;
};

/* One publish under way: its command is kept until the answer, for the case that Redis has lost the library. */
struct send {
    struct publish *publish;
    publish_cb cb;
    void *data;
    bool repeated;
    size_t argc;
    struct slice argv[ARGS_MAX];
    struct confirm_item held;
    struct publish_answer answer; /* while it is held; its id is in `bytes` */
    size_t room;
    char bytes[];
};

/* ---- the function library ---- */

static void fail_load(struct publish *publish, const char *why)
{
    publish->why = why;
    redis_drop(publish->redis, why);
}

static const char *load_fault(struct publish *publish, const redisReply *reply)
{
    const char *down = redis_error_down(reply);
    if (down != NULL)
        return down;
    if (redis_error_is(reply, "ERR unknown command"))
        return "Redis is too old: functions need version 7";
    if (redis_error_is(reply, "NOPERM "))
        return "the Redis user may not load functions";
    if (log_allowed(&publish->limit))
        log_error("redis refused the function library", log_str("error", reply->str));
    return "Redis refused the function library";
}

static void on_loaded(void *data, const redisReply *reply, const char *why)
{
    struct publish *publish = data;
    (void)why;
    if (reply == NULL)
        return;
    if (redis_error(reply)) {
        fail_load(publish, load_fault(publish, reply));
        return;
    }
    publish->library = LIBRARY_LOADED;
    publish->why = NULL;
}

static void load(struct publish *publish, enum library state)
{
    struct slice argv[] = {SLICE("FUNCTION"), SLICE("LOAD"), SLICE("REPLACE"), slice_make((const char *)sse_lua, sse_lua_len)};
    publish->library = state;
    if (!redis_command(publish->redis, argv, 4, on_loaded, publish))
        fail_load(publish, "too much waits to be sent to Redis");
}

static void on_ready(void *data)
{
    load(data, LIBRARY_LOADING);
}

static void on_lost(void *data, const char *why)
{
    struct publish *publish = data;
    (void)why;
    publish->library = LIBRARY_ABSENT;
    confirm_lost(&publish->confirm, LOST_SENTENCE);
}

/* ---- answers ---- */

static void answer_failure(publish_cb cb, void *data, enum publish_outcome outcome, const char *why)
{
    cb(data, &(struct publish_answer){.outcome = outcome, .why = why});
}

static bool outcome_of(enum publish_outcome *out, struct slice text)
{
    static const struct {
        struct slice text;
        enum publish_outcome outcome;
    } outcomes[] = {
        {{"published", 9}, PUBLISH_DONE},
        {{"duplicate", 9}, PUBLISH_DUPLICATE},
        {{"unchanged", 9}, PUBLISH_UNCHANGED},
    };
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); ++i)
        if (slice_eq(text, outcomes[i].text)) {
            *out = outcomes[i].outcome;
            return true;
        }
    return false;
}

/* The function answers with three bulk strings: id, position, outcome. */
static bool read_answer(struct publish_answer *out, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3)
        return false;
    struct slice text[3];
    for (size_t i = 0; i < 3; ++i) {
        if (reply->element[i]->type != REDIS_REPLY_STRING)
            return false;
        text[i] = slice_make(reply->element[i]->str, reply->element[i]->len);
    }
    *out = (struct publish_answer){.id = text[0]};
    return position_parse(&out->at, text[1]) && outcome_of(&out->outcome, text[2]);
}

static void answer_error(struct send *send, const redisReply *reply)
{
    const char *why = redis_error_down(reply);
    if (redis_error_is(reply, REFUSAL)) {
        answer_failure(send->cb, send->data, PUBLISH_REFUSED, reply->str + sizeof(REFUSAL) - 1);
        return;
    }
    if (why == NULL && redis_error_is(reply, "NOPERM "))
        why = "the Redis user may not publish";
    if (why == NULL) {
        why = "Redis could not run the publishing function";
        if (log_allowed(&send->publish->limit))
            log_error("publish failed", log_str("error", redis_error(reply) ? reply->str : "an answer of another form"));
    }
    answer_failure(send->cb, send->data, PUBLISH_BUS_DOWN, why);
}

static void on_confirmed(void *data, const char *why)
{
    struct send *send = data;
    if (why == NULL)
        send->cb(send->data, &send->answer);
    else
        answer_failure(send->cb, send->data, PUBLISH_BUS_DOWN, why);
    free(send);
}

/* Also for what was published before: its first answer may never have come for want of replicas. */
static void hold(struct send *send, const struct publish_answer *answer)
{
    send->answer = *answer;
    send->answer.id = slice_make(send->bytes, answer->id.n);
    h2o_memcpy(send->bytes, answer->id.p, answer->id.n);
    send->held = (struct confirm_item){.cb = on_confirmed, .data = send};
    confirm_hold(&send->publish->confirm, &send->held);
}

static bool queue(struct send *send);
static bool repeat(struct send *send);

static void on_answer(void *data, const redisReply *reply, const char *why)
{
    struct send *send = data;
    struct publish_answer answer;
    (void)why;
    if (reply == NULL)
        answer_failure(send->cb, send->data, PUBLISH_BUS_DOWN, LOST_SENTENCE);
    else if (read_answer(&answer, reply) && answer.id.n <= send->room && send->publish->confirm.replicas != 0) {
        hold(send, &answer);
        return;
    } else if (read_answer(&answer, reply))
        send->cb(send->data, &answer);
    else if (redis_error_is(reply, "ERR Function not found") && repeat(send))
        return;
    else
        answer_error(send, reply);
    free(send);
}

/* Not having been found, the function has done nothing: sending it again can't publish twice. One load serves all that were under way. */
static bool repeat(struct send *send)
{
    struct publish *publish = send->publish;
    if (send->repeated)
        return false;
    send->repeated = true;
    if (publish->library == LIBRARY_LOADED)
        load(publish, LIBRARY_RELOADING);
    return queue(send);
}

/* ---- requests ---- */

static size_t write_number(char *out, size_t size, int64_t number)
{
    return (size_t)snprintf(out, size, "%lld", (long long)number);
}

static void add_option(struct send *send, struct slice name, struct slice value)
{
    assert(send->argc + 2 <= ARGS_MAX);
    send->argv[send->argc++] = name;
    send->argv[send->argc++] = value;
}

/* Copies s to *end; returns the copy. */
static struct slice keep(char **end, struct slice s)
{
    struct slice copy = slice_make(*end, s.n);
    *end = (char *)h2o_memcpy(*end, s.p, s.n) + s.n;
    return copy;
}

static void add_options(struct send *send, const struct publish_request *request, char *end)
{
    char number[24];
    if (request->type.n != 0)
        add_option(send, SLICE("event"), keep(&end, request->type));
    if (request->id.n != 0)
        add_option(send, SLICE("id"), keep(&end, request->id));
    if (request->key.n != 0)
        add_option(send, SLICE("key"), keep(&end, request->key));
    if (request->retry_ms == EVENT_RETRY_NONE)
        add_option(send, SLICE("retry"), SLICE("none"));
    else
        add_option(send, SLICE("retry"), keep(&end, slice_make(number, write_number(number, sizeof(number), request->retry_ms))));
    add_option(send, SLICE("maxlen"), keep(&end, slice_make(number, write_number(number, sizeof(number), request->history_len))));
    add_option(send, SLICE("ttl"), keep(&end, slice_make(number, write_number(number, sizeof(number), request->history_ttl_s))));
    if (request->only_changed)
        add_option(send, SLICE("changed"), SLICE("1"));
    if (request->count)
        add_option(send, SLICE("count"), SLICE("1"));
}

static struct send *make_send(struct publish *publish, const struct publish_request *request, publish_cb cb, void *data)
{
    enum { NUMBERS = 3 * 24 };
    size_t room = CHANNEL_KEY_MAX + request->data.n + request->type.n + request->id.n + request->key.n + NUMBERS;
    struct send *send = h2o_mem_alloc(sizeof(*send) + room);
    *send = (struct send){.publish = publish, .cb = cb, .data = data, .room = room};
    size_t key_len = channel_pubsub(send->bytes, request->channel);
    char *end = send->bytes + key_len;
    struct slice event = request->count ? SLICE("") : keep(&end, request->data);
    struct slice words[] = {SLICE("FCALL"), SLICE("sse_publish"), SLICE("1"), slice_make(send->bytes, key_len), event};
    memcpy(send->argv, words, sizeof(words));
    send->argc = sizeof(words) / sizeof(words[0]);
    add_options(send, request, end);
    return send;
}

static bool queue(struct send *send)
{
    struct publish *publish = send->publish;
    if (!redis_command(publish->redis, send->argv, send->argc, on_answer, send))
        return false;
    if (publish->confirm.replicas != 0)
        confirm_sent(&publish->confirm);
    return true;
}

/* ---- interface ---- */

/* WAIT must have answered before the connection counts as dead, also when it stands behind another one. */
static uint64_t replicas_timeout(const struct redis_options *options)
{
    uint64_t most = options->reply_timeout_ms / 3;
    return most < REPLICAS_TIMEOUT_MS ? most : REPLICAS_TIMEOUT_MS;
}

struct publish *publish_open(const struct redis_options *options, unsigned replicas)
{
    struct publish *publish = h2o_mem_alloc(sizeof(*publish));
    *publish = (struct publish){.library = LIBRARY_ABSENT};
    struct redis_options own = *options;
    own.on_ready = on_ready;
    own.on_lost = on_lost;
    own.on_push = NULL;
    own.data = publish;
    publish->redis = redis_open(&own);
    publish->confirm = (struct confirm){.redis = publish->redis, .replicas = replicas, .timeout_ms = replicas_timeout(options)};
    return publish;
}

void publish_close(struct publish *publish)
{
    publish->library = LIBRARY_ABSENT;
    redis_close(publish->redis);
    confirm_lost(&publish->confirm, LOST_SENTENCE);
    free(publish);
}

bool publish_ready(const struct publish *publish)
{
    return redis_ready(publish->redis) && (publish->library == LIBRARY_LOADED || publish->library == LIBRARY_RELOADING);
}

const char *publish_why(const struct publish *publish)
{
    if (publish_ready(publish))
        return NULL;
    if (!redis_ready(publish->redis))
        return redis_why(publish->redis);
    return publish->why != NULL ? publish->why : "Redis is loading the function library";
}

void publish_send(struct publish *publish, const struct publish_request *request, publish_cb cb, void *data)
{
    if (!publish_ready(publish)) {
        answer_failure(cb, data, PUBLISH_BUS_DOWN, publish_why(publish));
        return;
    }
    struct send *send = make_send(publish, request, cb, data);
    if (!queue(send)) {
        free(send);
        answer_failure(cb, data, PUBLISH_BUS_DOWN, "Redis does not keep up: too much waits to be sent to it");
    }
}

void publish_tell(struct publish *publish, struct slice channel, struct slice text)
{
    char name[CHANNEL_KEY_MAX];
    struct slice argv[] = {SLICE("PUBLISH"), slice_make(name, channel_pubsub(name, channel)), text};
    if (!publish_ready(publish) || !redis_command(publish->redis, argv, 3, NULL, NULL))
        return;
}
