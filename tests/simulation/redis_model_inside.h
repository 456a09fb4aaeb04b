/* What the files of the model share: its data, and how answers are made. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/position.h"
#include "tests/simulation/redis_model.h"

/* ---- values: counted, and never changed while two hold them ---- */

struct text {
    uint32_t refs;
    size_t n;
    char p[];
};

/* The fields and values of a stream's entry, in turn. */
struct fields {
    uint32_t refs;
    uint32_t count; /* of fields and values together */
    size_t bytes; /* of all of them */
    const char *start; /* of their bytes, behind `size` */
    size_t size[];
};

struct entry {
    struct position at;
    struct fields *fields;
};

/* A node of Redis's radix tree, by which `MAXLEN ~` and `MINID ~` cut: a listpack, of which only the size is kept. Deleted entries stay in it as tombstones. */
struct node {
    struct position first, last; /* of what was ever added */
    struct fields *master; /* the first one's; entries with the same names don't store them */
    size_t bytes;
    uint32_t live, dead;
};

/* Both arrays begin at `from`: what is trimmed is in front. */
struct stream {
    uint32_t refs;
    struct entry *entries; /* the live ones */
    size_t entries_from, entries_end, entries_room;
    struct node *nodes;
    size_t nodes_from, nodes_end, nodes_room;
    struct position first, last, greatest_deleted; /* as XINFO tells */
    uint64_t added;
};

enum kind { KIND_STRING, KIND_LIST, KIND_STREAM };

enum { NEVER = -1 };

struct key {
    struct text *name;
    uint32_t hash;
    uint16_t slot;
    enum kind kind;
    int64_t expires_ms; /* NEVER */
    union {
        struct text *text;
        uint64_t length; /* of a list, whose items are of no interest */
        struct stream *stream;
    };
};

struct redis_model {
    uint64_t now_us, seed;
    struct key *keys; /* in an order that depends on nothing but the commands */
    size_t count, room;
    uint32_t *index; /* of keys: 1 + its number; 0 is free. A power of two, at most half full */
    size_t index_room;
    struct text **unreadable;
    size_t unreadable_count;
    bool out_of_memory, readonly, library;
    bool probed; /* the library knows whether this is a cluster */
    struct known *known; /* channels that it remembers (redis_model_publish.c) */
    size_t known_count;
    unsigned replicas;
    struct slot_state *slots; /* those that are not HERE; NULL: no cluster */
    size_t slot_count;
    redis_model_publish_cb publish;
    void *data;
};

struct slot_state {
    uint16_t slot;
    enum redis_model_slot state;
    char other[64];
};

/* ---- answers (redis_model_reply.c) ---- */

struct reply; /* one command's answer under way */

/* A command leaves exactly one of these, into `to`. */
void reply_text(struct reply *reply, redisReply *to, struct slice text);
void reply_status(struct reply *reply, redisReply *to, const char *text);
void reply_integer(redisReply *to, int64_t value);
void reply_nil(redisReply *to);
void reply_position(struct reply *reply, redisReply *to, struct position at);

/* An array of n; its elements are to be filled. */
void reply_array(struct reply *reply, redisReply *to, size_t n);

/* CR and LF become blanks, as in Redis. */
__attribute__((format(printf, 3, 4))) void reply_error(struct reply *reply, redisReply *to, const char *format, ...);

/* What a command works on. `to` is where its answer goes. */
struct call {
    struct redis_model *model;
    struct reply *reply;
    redisReply *to;
    const struct slice *argv;
    size_t argc;
    const char *name; /* "get", "xinfo|stream" */
};

void call_error(const struct call *call, const char *why); /* "ERR why" */
void call_wrong_arity(const struct call *call);
void call_wrong_type(const struct call *call);
void call_syntax(const struct call *call);
void call_ok(const struct call *call);

/* The begun answer of one command, and its end: the caller's. */
struct reply *reply_begin(redisReply **to);
redisReply *reply_end(struct reply *reply);

/* ---- values ---- */

struct text *text_of(struct slice bytes);
void text_drop(struct text *text);
static inline struct slice text_slice(const struct text *text)
{
    return (struct slice){text->p, text->n};
}

/* As Redis's string2ll(): the whole text is one integer in its shortest form. */
bool integer_of(struct slice text, int64_t *out);
size_t integer_text(char out[24], int64_t value); /* its bytes; snprintf() would be most of the model's time */
bool word_is(struct slice text, const char *word); /* whatever the case; `word` in lower case */

/* ---- keys (redis_model_keys.c) ---- */

uint64_t now_ms(const struct redis_model *model);

/* NULL where there is none or its time is over. */
struct key *key_find(struct redis_model *model, struct slice name);

/* An entry without value: the caller gives it kind and value. What was there is gone; expires NEVER. */
struct key *key_put(struct redis_model *model, struct slice name);
void key_remove(struct redis_model *model, struct key *key);
void key_drop_value(struct key *key);
void keys_flush(struct redis_model *model);
struct key *key_find_expired(struct redis_model *model, struct slice name); /* also one whose time is over */

/* ---- streams (redis_model_stream.c) ---- */

struct trim {
    enum { TRIM_NONE, TRIM_MAXLEN, TRIM_MINID } by;
    bool approximate;
    int64_t limit; /* 0: none */
    uint64_t maxlen;
    struct position minid;
};

struct stream *stream_create(void);
void stream_drop(struct stream *stream);
struct stream *stream_own(struct key *key); /* the key's stream, of which no other has a part: it may be changed */
void fields_drop(struct fields *fields);

static inline size_t stream_length(const struct stream *stream)
{
    return stream->entries_end - stream->entries_from;
}

/* `at` is above the stream's last. fields: names and values in turn. */
void stream_add(struct stream *stream, struct position at, const struct slice *fields, size_t count);
size_t stream_trim(struct stream *stream, const struct trim *trim);
bool stream_delete(struct stream *stream, struct position at);

/* The number of the first entry that is not before `at`, counted from entries_from. */
size_t stream_seek(const struct stream *stream, struct position at);
static inline const struct entry *stream_entry(const struct stream *stream, size_t number)
{
    return &stream->entries[stream->entries_from + number];
}

struct slice fields_at(const struct fields *fields, size_t number); /* {NULL, 0} beyond its end */

/* ---- commands ---- */

void command_get(const struct call *call);
void command_set(const struct call *call);
void command_incr(const struct call *call);
void command_lpush(const struct call *call);
void command_del(const struct call *call);
void command_exists(const struct call *call);
void command_type(const struct call *call);
void command_expire(const struct call *call);
void command_persist(const struct call *call);
void command_ttl(const struct call *call);
void command_xadd(const struct call *call);
void command_xtrim(const struct call *call);
void command_xrange(const struct call *call);
void command_xlen(const struct call *call);
void command_xdel(const struct call *call);
void command_xsetid(const struct call *call);
void command_xinfo(const struct call *call);

/* A stream's id as a command takes it, whose sequence number may be left out; false for one that it refuses. */
bool stream_id_of(struct slice text, struct position *out);

/* XADD for sse_publish; an error is the sentence that Redis has for it, NULL: done. */
const char *xadd(struct redis_model *model, struct slice key, const struct trim *trim, struct position at,
                 const struct slice *fields, size_t count);

/* The library is loaded anew: it remembers nothing. */
void sse_forget(struct redis_model *model);

/* FCALL of these functions with these keys and arguments. */
void sse_publish(const struct call *call, const struct slice *keys, size_t key_count, const struct slice *args, size_t arg_count);
void sse_publish_many(const struct call *call, const struct slice *keys, size_t key_count, const struct slice *args,
                      size_t arg_count);
size_t publish(struct redis_model *model, bool sharded, struct slice channel, struct slice payload);
