#include "proto/bus/publish_shard.h"

#include <stdlib.h>

#include "proto/bus/marker.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"
#include "runtime/redis/redis_error.h"
#include "runtime/redis/resp.h"
#include "runtime/timer.h"
#include "sse_lua.h" /* made of sse.lua by CMakeLists.txt */

#define LOST_SENTENCE                                                                                                           \
    "the connection to Redis was lost before it answered; the event may or may not have been published: send it again with an " \
    "Idempotency-Key"

#define MAY_NOT "the Redis user may not publish"
/* What the function says to an option that it does not know: an older publisher has loaded its library since. */
#define STALE "unknown option"

enum {
    REPLICAS_TIMEOUT_MS = 1000,
    PROBE_MS = 1000, /* without an answer for so long the shard is asked whether it takes writes */
    LARGE_BYTES = 16384,
    LARGE_UNDER_WAY_BYTES = 1 << 20,
    EVENT_BYTES = 1024, /* an event of a batch takes Redis as long as so many bytes of a large one */
    CHANNELS = 256, /* that waiting events are told apart by */
};

enum library {
    LIBRARY_ABSENT, /* no connection */
    LIBRARY_LOADING,
    LIBRARY_LOADED,
    LIBRARY_RELOADING, /* Redis has lost it; what is sent now comes after the load and finds it */
};

struct publish_shard {
    void (*on_again)(void *data, struct publish_send *send, const char *why);
    void (*on_loaded)(void *data, struct publish_shard *shard);
    void *data;
    struct redis *redis;
    char born_key[CHANNEL_KEY_MAX];
    struct wait_replicas wait; /* replicas: 0 if none need to have it */
    struct {
        size_t under_way; /* bytes that Redis has not answered yet */
        h2o_linklist_t waiting; /* large events that may not be sent yet, and later events of the same channels */
        uint32_t channels[CHANNELS]; /* how many wait, by the channel's slot */
    } large;
    enum library library;
    const char *why; /* why the last load failed; NULL: it did not */
    const char *unwritable; /* why Redis took no write, by the newest answer; NULL: it did */
    const char *mute; /* why it did not send what this process tells all others; NULL: it did */
    uint64_t answered_ms; /* when that was */
    struct timer probe;
    struct log_limit limit;
};

/* ---- whether it takes writes ---- */

/* One of the two reasons changes: one line when there is a reason, and one when there is none any more. */
static void set_reason(struct publish_shard *shard, const char **reason, const char *why, const redisReply *reply)
{
    const char *before = publish_shard_unwritable(shard);
    *reason = why;
    const char *now = publish_shard_unwritable(shard);
    if (now != NULL && before == NULL)
        log_error("redis refuses writes", log_str("why", now), log_str("error", reply->str));
    else if (now == NULL && before != NULL)
        log_info("redis accepts writes again");
}

/* The sentence of an error that begins with this word and one of our functions; NULL: it is another one. */
static const char *own_error(const redisReply *reply, const char *word)
{
    static const char *const functions[] = {" sse_publish: ", " sse_publish_many: "};
    if (!redis_error_is(reply, word))
        return NULL;
    for (size_t i = 0; i != sizeof(functions) / sizeof(functions[0]); ++i)
        if (strncmp(reply->str + strlen(word), functions[i], strlen(functions[i])) == 0)
            return reply->str + strlen(word) + strlen(functions[i]);
    return NULL;
}

/* What an answer to a write tells. */
static void learn(struct publish_shard *shard, const redisReply *reply)
{
    bool ran = !redis_error(reply) || own_error(reply, "ERR") != NULL;
    if (!ran && redis_error_unwritable(reply) == NULL)
        return;
    shard->answered_ms = monotonic_ms();
    set_reason(shard, &shard->unwritable, redis_error_unwritable(reply), reply);
}

static void on_probed(void *data, const redisReply *reply, const char *why)
{
    (void)why;
    if (reply != NULL)
        learn(data, reply);
}

/* Before it runs a function that may write Redis looks whether it takes writes; this call names no key, so the function itself refuses it and writes nothing. */
static void on_probe(void *data)
{
    struct publish_shard *shard = data;
    struct slice argv[] = {SLICE("FCALL"), SLICE("sse_publish"), SLICE("0")};
    bool asks = publish_shard_why(shard) == NULL && monotonic_ms() - shard->answered_ms >= PROBE_MS;
    if (asks && !redis_command(shard->redis, argv, 3, on_probed, shard))
        redis_drop(shard->redis, "too many bytes are waiting to be sent to Redis");
    timer_start(&shard->probe, PROBE_MS);
}

/* ---- the function library ---- */

static void fail_load(struct publish_shard *shard, const char *why)
{
    shard->why = why;
    redis_drop(shard->redis, why);
}

static const char *load_fault(struct publish_shard *shard, const redisReply *reply)
{
    const char *down = redis_error_down(reply);
    if (down != NULL)
        return down;
    if (redis_error_is(reply, "ERR unknown command"))
        return "Redis is too old: functions need version 7";
    if (redis_error_is(reply, "NOPERM "))
        return "the Redis user may not load functions (needs +function|load)";
    if (log_allowed(&shard->limit))
        log_error("redis refused the function library", log_str("error", reply->str));
    return "Redis refused the function library";
}

static void on_loaded(void *data, const redisReply *reply, const char *why)
{
    struct publish_shard *shard = data;
    (void)why;
    if (reply == NULL)
        return;
    learn(shard, reply);
    if (redis_error(reply)) {
        fail_load(shard, load_fault(shard, reply));
        return;
    }
    shard->library = LIBRARY_LOADED;
    shard->why = NULL;
    redis_proven(shard->redis);
    shard->on_loaded(shard->data, shard);
}

static void load(struct publish_shard *shard, enum library state)
{
    struct slice argv[] = {SLICE("FUNCTION"), SLICE("LOAD"), SLICE("REPLACE"), slice_make((const char *)sse_lua, sse_lua_len)};
    shard->library = state;
    if (!redis_command(shard->redis, argv, 4, on_loaded, shard))
        fail_load(shard, "too many bytes are waiting to be sent to Redis");
}

static void on_ready(void *data)
{
    load(data, LIBRARY_LOADING);
}

static void on_lost(void *data, const char *why)
{
    struct publish_shard *shard = data;
    (void)why;
    shard->library = LIBRARY_ABSENT;
    wait_replicas_lost(&shard->wait, LOST_SENTENCE);
}

/* ---- answers ---- */

static bool outcome_of(enum publish_outcome *out, struct slice text)
{
    static const char *const outcomes[] = {
        [PUBLISH_DONE] = "published", [PUBLISH_DUPLICATE] = "duplicate", [PUBLISH_UNCHANGED] = "unchanged"};
    for (*out = PUBLISH_DONE; *out <= PUBLISH_UNCHANGED; ++*out)
        if (slice_eq(text, slice_of(outcomes[*out])))
            return true;
    return false;
}

/* sse_publish answers with three bulk strings: id, position, outcome. */
static bool read_one(struct publish_answer *out, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3)
        return false;
    *out = (struct publish_answer){.id = resp_text(reply->element[0])};
    return out->id.p != NULL && position_parse(&out->at, resp_text(reply->element[1])) &&
           outcome_of(&out->outcome, resp_text(reply->element[2]));
}

/* sse_publish_many: outcome, position of the last event, and the id of each. */
static bool read_many(struct publish_answer *out, struct publish_send *send, const redisReply *reply)
{
    size_t bytes = 0;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 + send->events)
        return false;
    *out = (struct publish_answer){.ids = send->argv}; /* there are two words and more of each event */
    for (size_t i = 0; i != send->events; ++i) {
        send->argv[i] = resp_text(reply->element[2 + i]);
        bytes += send->argv[i].n;
        if (send->argv[i].p == NULL)
            return false;
    }
    return bytes <= send->room && outcome_of(&out->outcome, resp_text(reply->element[0])) &&
           position_parse(&out->at, resp_text(reply->element[1]));
}

static bool read_answer(struct publish_answer *out, struct publish_send *send, const redisReply *reply)
{
    return send->events != 0 ? read_many(out, send, reply) : read_one(out, reply) && out->id.n <= send->room;
}

/* The functions' own errors, by their first word. */
static bool is_refusal(const redisReply *reply, enum publish_outcome *outcome, const char **why)
{
    static const struct {
        const char *word;
        enum publish_outcome outcome;
    } rows[] = {
        {"ERR", PUBLISH_REFUSED},
        {"CONFLICT", PUBLISH_CONFLICT},
        {"ENDED", PUBLISH_ENDED},
        {"HISTORY", PUBLISH_FAILED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && *why == NULL; ++i) {
        *why = own_error(reply, rows[i].word);
        if (*why != NULL)
            *outcome = rows[i].outcome;
    }
    return *why != NULL;
}

static const char *failure(const redisReply *reply)
{
    if (redis_error_is(reply, "NOPERM "))
        return MAY_NOT;
    if (redis_error_is(reply, "WRONGTYPE "))
        return "a key of this channel in Redis holds something else: delete it there";
    return "Redis could not run the publishing function";
}

static void answer_error(struct publish_send *send, const redisReply *reply)
{
    bool forbidden = redis_error_is(reply, "NOPERM ") && send->shard->mute != NULL; /* everywhere, not only on this channel */
    enum publish_outcome outcome = forbidden || redis_error_unwritable(reply) != NULL ? PUBLISH_UNWRITABLE : PUBLISH_BUS_DOWN;
    const char *why = forbidden ? send->shard->mute : redis_error_down(reply);
    if (why == NULL && !is_refusal(reply, &outcome, &why)) {
        outcome = PUBLISH_FAILED;
        why = failure(reply);
    }
    if (outcome == PUBLISH_FAILED && log_allowed(&send->shard->limit))
        log_error("publish failed", log_str("error", redis_error(reply) ? reply->str : "unexpected reply"));
    publish_send_fail(send, outcome, why);
}

static void on_confirmed(void *data, const char *why)
{
    struct publish_send *send = data;
    if (why == NULL)
        publish_send_answer(send, &send->answer);
    else
        publish_send_fail(send, PUBLISH_BUS_DOWN, why);
}

/* Also for what was published before: its first answer may never have come for want of replicas. */
static void hold(struct publish_send *send, const struct publish_answer *answer)
{
    char *end = send->bytes;
    send->answer = *answer;
    for (size_t i = 0; i != (send->events != 0 ? send->events : 1); ++i) {
        struct slice *id = send->events != 0 ? &send->argv[i] : &send->answer.id;
        h2o_memcpy(end, id->p, id->n);
        *id = slice_make(end, id->n);
        end += id->n;
    }
    send->held = (struct wait_replicas_item){.cb = on_confirmed, .data = send};
    wait_replicas_hold(&send->shard->wait, &send->held);
}

static bool queue(struct publish_send *send);
static bool repeat(struct publish_send *send);

/* What counts as large; 0: it does not. */
static size_t large_bytes(const struct publish_send *send)
{
    size_t bytes = send->room + send->events * EVENT_BYTES;
    return bytes > LARGE_BYTES ? bytes : 0;
}

/* Redis did not run the function, or the function found its channel half-way to another shard: it has done nothing. */
static bool is_elsewhere(const redisReply *reply)
{
    return redis_error_is(reply, "MOVED ") || redis_error_is(reply, "ASK ") || redis_error_is(reply, "TRYAGAIN ");
}

/* Redis has lost our library, or has an older one. */
static bool is_other_library(const redisReply *reply)
{
    const char *why = own_error(reply, "ERR");
    return redis_error_is(reply, "ERR Function not found") || (why != NULL && strncmp(why, STALE, strlen(STALE)) == 0);
}

static void send_waiting(struct publish_shard *shard);

static void take_answer(struct publish_send *send, const redisReply *reply)
{
    struct publish_answer answer;
    if (reply == NULL)
        publish_send_fail(send, PUBLISH_BUS_DOWN, LOST_SENTENCE);
    else if (is_elsewhere(reply))
        send->shard->on_again(send->shard->data, send, redis_error_down(reply));
    else if (redis_error(reply) || !read_answer(&answer, send, reply))
        answer_error(send, reply);
    else if (send->shard->wait.replicas != 0)
        hold(send, &answer);
    else
        publish_send_answer(send, &answer);
}

static void on_answer(void *data, const redisReply *reply, const char *why)
{
    struct publish_send *send = data;
    struct publish_shard *shard = send->shard;
    (void)why;
    if (reply != NULL)
        learn(shard, reply);
    if (reply != NULL && is_other_library(reply) && repeat(send))
        return;
    shard->large.under_way -= large_bytes(send);
    take_answer(send, reply);
    send_waiting(shard);
}

/* Not having been found, or having refused, the function has done nothing: sending it again can't publish twice. One load serves all that were under way. */
static bool repeat(struct publish_send *send)
{
    struct publish_shard *shard = send->shard;
    if (send->repeated)
        return false;
    send->repeated = true;
    if (shard->library == LIBRARY_LOADED)
        load(shard, LIBRARY_RELOADING);
    return queue(send);
}

static bool queue(struct publish_send *send)
{
    struct publish_shard *shard = send->shard;
    if (!redis_command(shard->redis, send->argv, send->argc, on_answer, send))
        return false;
    if (shard->wait.replicas != 0)
        wait_replicas_sent(&shard->wait);
    return true;
}

/* ---- large events ---- */

/* Redis runs one command at a time, and takes milliseconds for an event of a mebibyte. So that other channels' events don't wait for many of those, large ones are sent one after the other; a channel's events stay in order. */

static uint32_t *waiting_of(struct publish_shard *shard, const struct publish_send *send)
{
    return &shard->large.channels[send->slot % CHANNELS];
}

static bool has_room(const struct publish_shard *shard, const struct publish_send *send)
{
    size_t bytes = large_bytes(send), under_way = shard->large.under_way;
    return bytes == 0 || under_way == 0 || under_way + bytes <= LARGE_UNDER_WAY_BYTES;
}

static void send_now(struct publish_shard *shard, struct publish_send *send)
{
    const char *why = publish_shard_why(shard);
    shard->large.under_way += large_bytes(send);
    if (why == NULL && queue(send))
        return;
    shard->large.under_way -= large_bytes(send);
    publish_send_fail(send, PUBLISH_BUS_DOWN, why != NULL ? why : "Redis does not keep up: too much waits to be sent to it");
}

/* While one waits, another is under way, whose answer or loss calls this again. */
static void send_waiting(struct publish_shard *shard)
{
    while (!h2o_linklist_is_empty(&shard->large.waiting)) {
        struct publish_send *send = H2O_STRUCT_FROM_MEMBER(struct publish_send, link, shard->large.waiting.next);
        if (!has_room(shard, send))
            return;
        h2o_linklist_unlink(&send->link);
        --*waiting_of(shard, send);
        send_now(shard, send);
    }
}

/* ---- interface ---- */

/* WAIT must have answered before the connection counts as dead, also when it stands behind another one. */
static uint64_t replicas_timeout(const struct redis_options *options)
{
    uint64_t most = options->reply_timeout_ms / 3;
    return most < REPLICAS_TIMEOUT_MS ? most : REPLICAS_TIMEOUT_MS;
}

struct publish_shard *publish_shard_open(const struct publish_shard_options *options)
{
    struct publish_shard *shard = h2o_mem_alloc(sizeof(*shard));
    *shard = (struct publish_shard){
        .on_again = options->on_again, .on_loaded = options->on_loaded, .data = options->data, .library = LIBRARY_ABSENT};
    h2o_linklist_init_anchor(&shard->large.waiting);
    struct redis_options redis = *options->redis;
    redis.on_ready = on_ready;
    redis.on_lost = on_lost;
    redis.on_push = NULL;
    redis.proven_later = true; /* by the function library */
    redis.data = shard;
    timer_init(&shard->probe, redis.loop, on_probe, shard);
    timer_start(&shard->probe, PROBE_MS);
    shard->redis = redis_open(&redis);
    shard->wait = (struct wait_replicas){
        .redis = shard->redis, .replicas = options->replicas, .timeout_ms = replicas_timeout(options->redis)};
    return shard;
}

void publish_shard_close(struct publish_shard *shard)
{
    shard->library = LIBRARY_ABSENT;
    redis_close(shard->redis);
    wait_replicas_lost(&shard->wait, LOST_SENTENCE);
    timer_dispose(&shard->probe);
    free(shard);
}

const char *publish_shard_why(const struct publish_shard *shard)
{
    if (!redis_ready(shard->redis))
        return redis_why(shard->redis);
    if (shard->library == LIBRARY_LOADED || shard->library == LIBRARY_RELOADING)
        return NULL;
    return shard->why != NULL ? shard->why : "Redis is loading the function library";
}

const char *publish_shard_unwritable(const struct publish_shard *shard)
{
    return shard->unwritable != NULL ? shard->unwritable : shard->mute;
}

void publish_shard_send(struct publish_shard *shard, struct publish_send *send)
{
    bool first = large_bytes(send) == 0 ? *waiting_of(shard, send) == 0 : h2o_linklist_is_empty(&shard->large.waiting);
    send->shard = shard;
    if (first && has_room(shard, send)) {
        send_now(shard, send);
    } else {
        ++*waiting_of(shard, send);
        h2o_linklist_insert(&shard->large.waiting, &send->link);
    }
}

/* A user who may not even tell what all programs of the deployment tell may publish nowhere; one who lacks a single channel is not found by this. */
static void on_told(void *data, const redisReply *reply, const char *why)
{
    struct publish_shard *shard = data;
    (void)why;
    if (reply != NULL)
        set_reason(shard, &shard->mute, redis_error_is(reply, "NOPERM ") ? MAY_NOT : NULL, reply);
}

void publish_shard_tell(struct publish_shard *shard, const struct slice *argv, size_t argc)
{
    if (publish_shard_why(shard) != NULL || !redis_command(shard->redis, argv, argc, on_told, shard))
        return; /* the next one tells all that this one would have */
}

static void on_born(void *data, uint64_t now_ms, uint64_t born_ms, bool denied, const char *why)
{
    struct publish_shard *shard = data;
    (void)denied;
    if (why == NULL && born_ms == 0)
        born_set(shard->redis, shard->born_key, now_ms, NULL, NULL);
}

void publish_shard_note_birth(struct publish_shard *shard, const char *born_key)
{
    memcpy(shard->born_key, born_key, strlen(born_key) + 1);
    if (born_key[0] == 0 || !born_read(shard->redis, shard->born_key, on_born, shard))
        return; /* at the next connection, or a gateway does */
}
