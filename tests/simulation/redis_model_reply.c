/* Answers as hiredis has them. One answer is one allocation, or a few: all its parts are cut from blocks that go with it. */
#include "tests/simulation/redis_model_inside.h"

#include <inttypes.h>
#include <stdarg.h>
#include <strings.h>

#include "runtime/digits.h"

enum { FIRST_BYTES = 960, BLOCK_BYTES = 1 << 14 };

struct block {
    struct block *next;
    max_align_t bytes[];
};

struct reply {
    redisReply root; /* first: it is what the caller holds */
    struct block *blocks;
    char *at, *end;
    max_align_t first[FIRST_BYTES / sizeof(max_align_t)];
};

struct reply *reply_begin(redisReply **to)
{
    struct reply *reply = malloc(sizeof(*reply));
    if (reply == NULL)
        abort();
    reply->root = (redisReply){.type = REDIS_REPLY_NIL};
    reply->blocks = NULL;
    reply->at = (char *)reply->first;
    reply->end = reply->at + sizeof(reply->first);
    *to = &reply->root;
    return reply;
}

redisReply *reply_end(struct reply *reply)
{
    return &reply->root;
}

void redis_model_reply_free(redisReply *root)
{
    struct reply *reply = (struct reply *)root;
    while (reply != NULL && reply->blocks != NULL) {
        struct block *next = reply->blocks->next;
        free(reply->blocks);
        reply->blocks = next;
    }
    free(reply);
}

static void *cut(struct reply *reply, size_t n)
{
    n = (n + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
    if (n > (size_t)(reply->end - reply->at)) {
        size_t room = n > BLOCK_BYTES ? n : BLOCK_BYTES;
        struct block *block = malloc(sizeof(*block) + room);
        if (block == NULL)
            abort();
        block->next = reply->blocks;
        reply->blocks = block;
        reply->at = (char *)block->bytes;
        reply->end = reply->at + room;
    }
    reply->at += n;
    return reply->at - n;
}

static void put_string(struct reply *reply, redisReply *to, int type, struct slice text)
{
    char *copy = cut(reply, text.n + 1);
    if (text.n != 0)
        memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    *to = (redisReply){.type = type, .str = copy, .len = text.n};
}

void reply_text(struct reply *reply, redisReply *to, struct slice text)
{
    put_string(reply, to, REDIS_REPLY_STRING, text);
}

void reply_status(struct reply *reply, redisReply *to, const char *text)
{
    put_string(reply, to, REDIS_REPLY_STATUS, slice_of(text));
}

void reply_integer(redisReply *to, int64_t value)
{
    *to = (redisReply){.type = REDIS_REPLY_INTEGER, .integer = value};
}

void reply_nil(redisReply *to)
{
    *to = (redisReply){.type = REDIS_REPLY_NIL};
}

void reply_position(struct reply *reply, redisReply *to, struct position at)
{
    char text[POSITION_TEXT_MAX];
    reply_text(reply, to, slice_make(text, position_format(text, at)));
}

void reply_array(struct reply *reply, redisReply *to, size_t n)
{
    redisReply *elements = cut(reply, n * sizeof(*elements));
    *to = (redisReply){.type = REDIS_REPLY_ARRAY, .elements = n, .element = n == 0 ? NULL : cut(reply, n * sizeof(*to->element))};
    for (size_t i = 0; i != n; ++i) {
        elements[i] = (redisReply){.type = REDIS_REPLY_NIL};
        to->element[i] = &elements[i];
    }
}

void reply_error(struct reply *reply, redisReply *to, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    for (size_t i = 0; i != len; ++i)
        if (text[i] == '\r' || text[i] == '\n')
            text[i] = ' ';
    put_string(reply, to, REDIS_REPLY_ERROR, slice_make(text, len));
}

/* ---- what many commands answer ---- */

void call_error(const struct call *call, const char *why)
{
    reply_error(call->reply, call->to, "ERR %s", why);
}

void call_wrong_arity(const struct call *call)
{
    reply_error(call->reply, call->to, "ERR wrong number of arguments for '%s' command", call->name);
}

void call_wrong_type(const struct call *call)
{
    reply_error(call->reply, call->to, "WRONGTYPE Operation against a key holding the wrong kind of value");
}

void call_syntax(const struct call *call)
{
    call_error(call, "syntax error");
}

void call_ok(const struct call *call)
{
    reply_status(call->reply, call->to, "OK");
}

/* ---- words and numbers ---- */

bool word_is(struct slice text, const char *word)
{
    size_t n = strlen(word);
    return text.n == n && strncasecmp(text.p, word, n) == 0;
}

size_t integer_text(char out[24], int64_t value)
{
    out[0] = '-';
    return value < 0 ? 1 + digits_put(out + 1, 0 - (uint64_t)value) : digits_put(out, (uint64_t)value);
}

bool integer_of(struct slice text, int64_t *out)
{
    bool negative = text.n != 0 && text.p[0] == '-';
    struct slice digits = negative ? slice_from(text, 1) : text;
    uint64_t value = 0, most = (uint64_t)INT64_MAX + negative;
    if (digits.n == 0 || text.n > 20 || (digits.p[0] == '0' && text.n != 1))
        return false;
    for (size_t i = 0; i != digits.n; ++i) {
        unsigned digit = (unsigned)(digits.p[i] - '0');
        if (digit > 9 || value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}
