/* The commands on strings, and those on keys of any type. */
#include "tests/simulation/redis_model_inside.h"

static const char not_integer[] = "value is not an integer or out of range";

static void bad_expire_time(const struct call *call)
{
    reply_error(call->reply, call->to, "ERR invalid expire time in '%s' command", call->name);
}

/* ---- strings ---- */

void command_get(const struct call *call)
{
    struct key *key = key_find(call->model, call->argv[1]);
    if (key == NULL)
        reply_nil(call->to);
    else if (key->kind != KIND_STRING)
        call_wrong_type(call);
    else
        reply_text(call->reply, call->to, text_slice(key->text));
}

struct set_options {
    bool absent_only, present_only, get, keep_ttl;
    char expires; /* as the first letters of its word tell: 0, 'e', 'p'; in capitals: at a time */
    struct slice time;
};

static bool read_set_options(const struct call *call, struct set_options *options)
{
    static const struct {
        const char *word;
        char letter;
    } times[] = {{"ex", 'e'}, {"px", 'p'}, {"exat", 'E'}, {"pxat", 'P'}};
    for (size_t i = 3; i < call->argc; ++i) {
        struct slice word = call->argv[i];
        char letter = 0;
        for (size_t j = 0; j != 4; ++j)
            letter = word_is(word, times[j].word) ? times[j].letter : letter;
        if (word_is(word, "nx") && !options->present_only)
            options->absent_only = true;
        else if (word_is(word, "xx") && !options->absent_only)
            options->present_only = true;
        else if (word_is(word, "get"))
            options->get = true;
        else if (word_is(word, "keepttl") && options->expires == 0)
            options->keep_ttl = true;
        else if (letter != 0 && !options->keep_ttl && (options->expires == 0 || options->expires == letter) && i + 1 < call->argc) {
            options->expires = letter;
            options->time = call->argv[++i];
        } else {
            call_syntax(call);
            return false;
        }
    }
    return true;
}

/* The time at which the value expires; NEVER without one. */
static bool read_time(const struct call *call, const struct set_options *options, int64_t *out)
{
    bool seconds = options->expires == 'e' || options->expires == 'E',
         relative = options->expires == 'e' || options->expires == 'p';
    *out = NEVER;
    if (options->expires == 0)
        return true;
    if (!integer_of(options->time, out)) {
        call_error(call, not_integer);
        return false;
    }
    if (*out <= 0 || (seconds && *out > INT64_MAX / 1000)) {
        bad_expire_time(call);
        return false;
    }
    *out *= seconds ? 1000 : 1;
    *out = (int64_t)((uint64_t)*out + (relative ? now_ms(call->model) : 0));
    if (*out <= 0)
        bad_expire_time(call);
    return *out > 0;
}

void command_set(const struct call *call)
{
    struct set_options options = {.expires = 0};
    int64_t expires_ms;
    if (!read_set_options(call, &options) || !read_time(call, &options, &expires_ms))
        return;
    struct key *key = key_find(call->model, call->argv[1]);
    if (options.get) {
        if (key != NULL && key->kind != KIND_STRING) {
            call_wrong_type(call);
            return;
        }
        command_get(call);
    }
    if ((options.absent_only && key != NULL) || (options.present_only && key == NULL)) {
        if (!options.get)
            reply_nil(call->to);
        return;
    }
    struct text *text = text_of(call->argv[2]);
    if (options.keep_ttl && key != NULL)
        expires_ms = key->expires_ms;
    key = key_put(call->model, call->argv[1]);
    key->kind = KIND_STRING;
    key->text = text;
    key->expires_ms = expires_ms;
    if (!options.get)
        call_ok(call);
}

void command_incr(const struct call *call)
{
    struct key *key = key_find(call->model, call->argv[1]);
    int64_t value = 0;
    char text[24];
    if (key != NULL && key->kind != KIND_STRING) {
        call_wrong_type(call);
        return;
    }
    if (key != NULL && !integer_of(text_slice(key->text), &value)) {
        call_error(call, not_integer);
        return;
    }
    if (value == INT64_MAX) {
        call_error(call, "increment or decrement would overflow");
        return;
    }
    int64_t expires_ms = key == NULL ? NEVER : key->expires_ms;
    key = key_put(call->model, call->argv[1]);
    key->kind = KIND_STRING;
    key->text = text_of(slice_make(text, integer_text(text, value + 1)));
    key->expires_ms = expires_ms;
    reply_integer(call->to, value + 1);
}

void command_lpush(const struct call *call)
{
    struct key *key = key_find(call->model, call->argv[1]);
    if (key != NULL && key->kind != KIND_LIST) {
        call_wrong_type(call);
        return;
    }
    if (key == NULL) {
        key = key_put(call->model, call->argv[1]);
        key->kind = KIND_LIST;
        key->length = 0;
    }
    key->length += call->argc - 2;
    reply_integer(call->to, (int64_t)key->length);
}

/* ---- keys of any type ---- */

void command_del(const struct call *call)
{
    int64_t count = 0;
    for (size_t i = 1; i != call->argc; ++i) {
        struct key *key = key_find(call->model, call->argv[i]);
        if (key == NULL)
            continue;
        key_remove(call->model, key);
        ++count;
    }
    reply_integer(call->to, count);
}

void command_exists(const struct call *call)
{
    int64_t count = 0;
    for (size_t i = 1; i != call->argc; ++i)
        count += key_find(call->model, call->argv[i]) != NULL;
    reply_integer(call->to, count);
}

void command_type(const struct call *call)
{
    static const char *const names[] = {[KIND_STRING] = "string", [KIND_LIST] = "list", [KIND_STREAM] = "stream"};
    struct key *key = key_find(call->model, call->argv[1]);
    reply_status(call->reply, call->to, key == NULL ? "none" : names[key->kind]);
}

struct conditions {
    bool nx, xx, gt, lt;
};

static bool read_conditions(const struct call *call, struct conditions *when)
{
    for (size_t i = 3; i != call->argc; ++i) {
        struct slice word = call->argv[i];
        bool *flag = word_is(word, "nx")   ? &when->nx
                     : word_is(word, "xx") ? &when->xx
                     : word_is(word, "gt") ? &when->gt
                     : word_is(word, "lt") ? &when->lt
                                           : NULL;
        if (flag == NULL) {
            reply_error(call->reply, call->to, "ERR Unsupported option %.*s", (int)word.n, word.p);
            return false;
        }
        *flag = true;
    }
    if (when->nx && (when->xx || when->gt || when->lt))
        call_error(call, "NX and XX, GT or LT options at the same time are not compatible");
    else if (when->gt && when->lt)
        call_error(call, "GT and LT options at the same time are not compatible");
    else
        return true;
    return false;
}

static bool holds(const struct conditions *when, int64_t old_ms, int64_t new_ms)
{
    return !(when->nx && old_ms != NEVER) && !(when->xx && old_ms == NEVER) &&
           !(when->gt && (old_ms == NEVER || new_ms <= old_ms)) && !(when->lt && old_ms != NEVER && new_ms >= old_ms);
}

/* EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT */
void command_expire(const struct call *call)
{
    struct conditions when = {false, false, false, false};
    bool seconds = call->name[0] == 'e';
    int64_t at, base = call->name[strlen(call->name) - 1] == 't' ? 0 : (int64_t)now_ms(call->model);
    if (!read_conditions(call, &when))
        return;
    if (!integer_of(call->argv[2], &at)) {
        call_error(call, not_integer);
        return;
    }
    if ((seconds && (at > INT64_MAX / 1000 || at < INT64_MIN / 1000)) || (seconds ? at * 1000 : at) > INT64_MAX - base) {
        bad_expire_time(call);
        return;
    }
    at = (seconds ? at * 1000 : at) + base;
    struct key *key = key_find(call->model, call->argv[1]);
    bool done = key != NULL && holds(&when, key->expires_ms, at);
    if (done && at <= (int64_t)now_ms(call->model))
        key_remove(call->model, key);
    else if (done)
        key->expires_ms = at;
    reply_integer(call->to, done);
}

void command_persist(const struct call *call)
{
    struct key *key = key_find(call->model, call->argv[1]);
    bool had = key != NULL && key->expires_ms != NEVER;
    if (had)
        key->expires_ms = NEVER;
    reply_integer(call->to, had);
}

/* TTL, PTTL */
void command_ttl(const struct call *call)
{
    struct key *key = key_find(call->model, call->argv[1]);
    int64_t left = key == NULL ? -2 : -1;
    if (key != NULL && key->expires_ms != NEVER) {
        left = key->expires_ms - (int64_t)now_ms(call->model);
        left = call->name[0] == 'p' ? left : (left + 500) / 1000;
    }
    reply_integer(call->to, left);
}
