#include "tests/simulation/redis_model_inside.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <strings.h>

#include "runtime/redis/slot.h"

/* ---- life ---- */

static void *copy_of(const void *from, size_t n)
{
    void *copy = n == 0 ? NULL : malloc(n);
    if (n != 0 && copy == NULL)
        abort();
    if (n != 0)
        memcpy(copy, from, n);
    return copy;
}

struct redis_model *redis_model_create(uint64_t now_us, uint64_t seed)
{
    struct redis_model *model = calloc(1, sizeof(*model));
    if (model == NULL)
        abort();
    model->now_us = now_us;
    model->seed = seed;
    model->library = true;
    return model;
}

struct redis_model *redis_model_copy(const struct redis_model *from)
{
    struct redis_model *model = copy_of(from, sizeof(*from));
    model->keys = copy_of(from->keys, from->room * sizeof(*from->keys));
    model->index = copy_of(from->index, from->index_room * sizeof(*from->index));
    model->unreadable = copy_of(from->unreadable, from->unreadable_count * sizeof(*from->unreadable));
    model->slots = copy_of(from->slots, (from->slot_count + (from->slots != NULL)) * sizeof(*from->slots));
    model->publish = NULL;
    model->probed = false; /* another process */
    model->known = NULL;
    model->known_count = 0;
    for (size_t i = 0; i != model->unreadable_count; ++i)
        ++model->unreadable[i]->refs;
    for (size_t i = 0; i != model->count; ++i) {
        struct key *key = &model->keys[i];
        ++key->name->refs;
        if (key->kind == KIND_STRING)
            ++key->text->refs;
        else if (key->kind == KIND_STREAM)
            ++key->stream->refs;
    }
    return model;
}

void redis_model_free(struct redis_model *model)
{
    if (model == NULL)
        return;
    keys_flush(model);
    sse_forget(model);
    for (size_t i = 0; i != model->unreadable_count; ++i)
        text_drop(model->unreadable[i]);
    free(model->unreadable);
    free(model->slots);
    free(model->index);
    free(model->keys);
    free(model);
}

void redis_model_clock(struct redis_model *model, uint64_t now_us)
{
    model->now_us = now_us;
}

void redis_model_on_publish(struct redis_model *model, redis_model_publish_cb cb, void *data)
{
    model->publish = cb;
    model->data = data;
}

size_t publish(struct redis_model *model, bool sharded, struct slice channel, struct slice payload)
{
    return model->publish == NULL ? 0 : model->publish(model->data, sharded, channel, payload);
}

/* ---- faults ---- */

bool redis_model_evict(struct redis_model *model, struct slice name)
{
    struct key *key = key_find_expired(model, name);
    if (key != NULL)
        key_remove(model, key);
    return key != NULL;
}

/* splitmix64 */
static uint64_t draw(struct redis_model *model)
{
    uint64_t z = model->seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

size_t redis_model_evict_some(struct redis_model *model, size_t count)
{
    size_t done = 0;
    for (; done != count && model->count != 0; ++done)
        key_remove(model, &model->keys[draw(model) % model->count]);
    return done;
}

static size_t find_unreadable(const struct redis_model *model, struct slice name)
{
    size_t i = 0;
    while (i != model->unreadable_count && !slice_eq(text_slice(model->unreadable[i]), name))
        ++i;
    return i;
}

void redis_model_unreadable(struct redis_model *model, struct slice name, bool unreadable)
{
    size_t at = find_unreadable(model, name);
    if (unreadable && at == model->unreadable_count) {
        model->unreadable = realloc(model->unreadable, (at + 1) * sizeof(*model->unreadable));
        if (model->unreadable == NULL)
            abort();
        model->unreadable[model->unreadable_count++] = text_of(name);
    } else if (!unreadable && at != model->unreadable_count) {
        text_drop(model->unreadable[at]);
        model->unreadable[at] = model->unreadable[--model->unreadable_count];
    }
}

void redis_model_out_of_memory(struct redis_model *model, bool out_of_memory)
{
    model->out_of_memory = out_of_memory;
}

void redis_model_readonly(struct redis_model *model, bool readonly)
{
    model->readonly = readonly;
}

void redis_model_replicas(struct redis_model *model, unsigned replicas)
{
    model->replicas = replicas;
}

/* ---- a cluster's node ---- */

void redis_model_cluster(struct redis_model *model)
{
    if (model->slots == NULL && (model->slots = malloc(sizeof(*model->slots))) == NULL)
        abort();
}

static struct slot_state *find_slot(const struct redis_model *model, uint16_t slot)
{
    for (size_t i = 0; i != model->slot_count; ++i)
        if (model->slots[i].slot == slot)
            return &model->slots[i];
    return NULL;
}

void redis_model_slot(struct redis_model *model, uint16_t slot, enum redis_model_slot state, const char *other)
{
    struct slot_state *at = find_slot(model, slot);
    assert(model->slots != NULL);
    if (state == REDIS_MODEL_SLOT_HERE) {
        if (at != NULL)
            *at = model->slots[--model->slot_count];
        return;
    }
    if (at == NULL) {
        model->slots = realloc(model->slots, (model->slot_count + 2) * sizeof(*model->slots));
        if (model->slots == NULL)
            abort();
        at = &model->slots[model->slot_count++];
    }
    *at = (struct slot_state){.slot = slot, .state = state};
    snprintf(at->other, sizeof(at->other), "%s", other);
}

static void migrate(struct redis_model *from, struct redis_model *to, struct key *key)
{
    struct key *copy = key_put(to, text_slice(key->name));
    copy->kind = key->kind;
    copy->expires_ms = key->expires_ms;
    if (key->kind == KIND_STRING)
        copy->text = key->text, ++key->text->refs;
    else if (key->kind == KIND_STREAM)
        copy->stream = key->stream, ++key->stream->refs;
    else
        copy->length = key->length;
    key_remove(from, key);
}

bool redis_model_migrate_key(struct redis_model *from, struct redis_model *to, struct slice name)
{
    struct key *key = key_find(from, name);
    if (key != NULL)
        migrate(from, to, key);
    return key != NULL;
}

size_t redis_model_migrate(struct redis_model *from, struct redis_model *to, uint16_t slot)
{
    size_t moved = 0;
    for (size_t i = from->count; i-- != 0;)
        if (from->keys[i].slot == slot) {
            migrate(from, to, &from->keys[i]);
            ++moved;
        }
    return moved;
}

/* ---- commands that touch no key ---- */

static void command_time(const struct call *call)
{
    char text[24];
    uint64_t now_us = call->model->now_us;
    reply_array(call->reply, call->to, 2);
    reply_text(call->reply, call->to->element[0], slice_make(text, integer_text(text, (int64_t)(now_us / 1000000))));
    reply_text(call->reply, call->to->element[1], slice_make(text, integer_text(text, (int64_t)(now_us % 1000000))));
}

static void command_ping(const struct call *call)
{
    if (call->argc > 2)
        call_wrong_arity(call);
    else if (call->argc == 2)
        reply_text(call->reply, call->to, call->argv[1]);
    else
        reply_status(call->reply, call->to, "PONG");
}

static void command_flushall(const struct call *call)
{
    if (call->argc > 2 || (call->argc == 2 && !word_is(call->argv[1], "sync") && !word_is(call->argv[1], "async"))) {
        call_syntax(call);
        return;
    }
    keys_flush(call->model);
    call_ok(call);
}

/* Answers at once, with those that there are: to wait for others is the connection's. */
static void command_wait(const struct call *call)
{
    int64_t number;
    if (call->model->readonly)
        call_error(call, "WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is "
                         "configured to be writable (which "
                         "is not the default) writes to replicas are just local and are not propagated.");
    else if (!integer_of(call->argv[1], &number))
        call_error(call, "value is not an integer or out of range");
    else if (!integer_of(call->argv[2], &number))
        call_error(call, "timeout is not an integer or out of range");
    else if (number < 0)
        call_error(call, "timeout is negative");
    else
        reply_integer(call->to, call->model->replicas);
}

static void command_publish(const struct call *call)
{
    reply_integer(call->to, (int64_t)publish(call->model, call->name[0] == 's', call->argv[1], call->argv[2]));
}

/* Takes any code for sse.lua. */
static void command_function_load(const struct call *call)
{
    bool replace = false;
    for (size_t i = 2; i + 1 < call->argc; ++i) {
        if (!word_is(call->argv[i], "replace")) {
            reply_error(call->reply, call->to, "ERR Unknown option given: %.*s", (int)call->argv[i].n, call->argv[i].p);
            return;
        }
        replace = true;
    }
    if (call->model->library && !replace) {
        call_error(call, "Library 'sse' already exists");
        return;
    }
    call->model->library = true;
    sse_forget(call->model);
    reply_text(call->reply, call->to, SLICE("sse"));
}

static void command_function_flush(const struct call *call)
{
    if (call->argc > 3)
        reply_error(call->reply, call->to, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try FUNCTION HELP.",
                    (int)call->argv[1].n, call->argv[1].p);
    else if (call->argc == 3 && !word_is(call->argv[2], "sync") && !word_is(call->argv[2], "async"))
        call_error(call, "FUNCTION FLUSH only supports SYNC|ASYNC option");
    else {
        call->model->library = false;
        call_ok(call);
    }
}

typedef void (*function)(const struct call *call, const struct slice *keys, size_t key_count, const struct slice *args,
                         size_t arg_count);

/* NULL: it is not loaded. */
static function function_of(const struct redis_model *model, struct slice name)
{
    return !model->library                     ? NULL
           : word_is(name, "sse_publish")      ? sse_publish
           : word_is(name, "sse_publish_many") ? sse_publish_many
                                               : NULL;
}

static void command_fcall(const struct call *call)
{
    int64_t keys;
    function run = function_of(call->model, call->argv[1]);
    if (run == NULL)
        call_error(call, "Function not found");
    else if (!integer_of(call->argv[2], &keys))
        call_error(call, "Bad number of keys provided");
    else if (keys > (int64_t)call->argc - 3)
        call_error(call, "Number of keys can't be greater than number of args");
    else if (keys < 0)
        call_error(call, "Number of keys can't be negative");
    else
        run(call, call->argv + 3, (size_t)keys, call->argv + 3 + keys, call->argc - 3 - (size_t)keys);
}

/* ---- the table ---- */

enum {
    WRITES = 1,
    TAKES_MEMORY = 2,
    ALL_KEYS = 4, /* every argument is one; otherwise the one at `key` */
    OF_CHANNEL = 8, /* the "key" is a sharded pub/sub channel's name */
};

static const struct command {
    const char *name;
    void (*run)(const struct call *call);
    int arity; /* words, its own included; negative: at least so many */
    int key; /* 0: none */
    unsigned flags;
} commands[] = {
    {"time", command_time, 1, 0, 0},
    {"ping", command_ping, -1, 0, 0},
    {"flushall", command_flushall, -1, 0, WRITES},
    {"wait", command_wait, 3, 0, 0},
    {"publish", command_publish, 3, 0, 0},
    {"spublish", command_publish, 3, 1, OF_CHANNEL},
    {"fcall", command_fcall, -3, 0, 0},
    {"function|load", command_function_load, -3, 0, WRITES | TAKES_MEMORY},
    {"function|flush", command_function_flush, -2, 0, WRITES},
    {"get", command_get, 2, 1, 0},
    {"set", command_set, -3, 1, WRITES | TAKES_MEMORY},
    {"incr", command_incr, 2, 1, WRITES | TAKES_MEMORY},
    {"lpush", command_lpush, -3, 1, WRITES | TAKES_MEMORY},
    {"del", command_del, -2, 1, WRITES | ALL_KEYS},
    {"unlink", command_del, -2, 1, WRITES | ALL_KEYS},
    {"exists", command_exists, -2, 1, ALL_KEYS},
    {"type", command_type, 2, 1, 0},
    {"expire", command_expire, -3, 1, WRITES},
    {"pexpire", command_expire, -3, 1, WRITES},
    {"expireat", command_expire, -3, 1, WRITES},
    {"pexpireat", command_expire, -3, 1, WRITES},
    {"persist", command_persist, 2, 1, WRITES},
    {"ttl", command_ttl, 2, 1, 0},
    {"pttl", command_ttl, 2, 1, 0},
    {"xrange", command_xrange, -4, 1, 0},
    {"xrevrange", command_xrange, -4, 1, 0},
    {"xadd", command_xadd, -5, 1, WRITES | TAKES_MEMORY},
    {"xtrim", command_xtrim, -4, 1, WRITES},
    {"xlen", command_xlen, 2, 1, 0},
    {"xdel", command_xdel, -3, 1, WRITES},
    {"xsetid", command_xsetid, -3, 1, WRITES | TAKES_MEMORY},
    {"xinfo|stream", command_xinfo, -3, 2, 0},
};

/* Whether the command's name, of one word or two, is what argv begins with. *container: the first word is, and there is another. */
static bool is_named(const char *name, const struct slice *argv, size_t argc, bool *container)
{
    const char *bar = strchr(name, '|');
    if (bar == NULL)
        return word_is(argv[0], name);
    size_t n = (size_t)(bar - name);
    if (argv[0].n != n || strncasecmp(argv[0].p, name, n) != 0)
        return false;
    *container = true;
    return argc > 1 && word_is(argv[1], bar + 1);
}

static void refuse_unknown(const struct call *call, bool container)
{
    char text[160], upper[16];
    size_t at = 0, i = 0;
    if (container && call->argc == 1) {
        reply_error(call->reply, call->to, "ERR wrong number of arguments for '%s' command",
                    word_is(call->argv[0], "xinfo") ? "xinfo" : "function");
        return;
    }
    if (container) {
        for (; i != call->argv[0].n; ++i)
            upper[i] = (char)toupper((unsigned char)call->argv[0].p[i]);
        reply_error(call->reply, call->to, "ERR unknown subcommand '%.*s'. Try %.*s HELP.",
                    (int)(call->argv[1].n < 128 ? call->argv[1].n : 128), call->argv[1].p, (int)i, upper);
        return;
    }
    for (i = 1, text[0] = 0; i < call->argc && at < 128; ++i) {
        size_t room = 128 - at;
        at += (size_t)snprintf(text + at, sizeof(text) - at, "'%.*s' ", (int)(call->argv[i].n < room ? call->argv[i].n : room),
                               call->argv[i].p);
    }
    reply_error(call->reply, call->to, "ERR unknown command '%.*s', with args beginning with: %s",
                (int)(call->argv[0].n < 128 ? call->argv[0].n : 128), call->argv[0].p, text);
}

/* The keys that the command names: argv[*first] and those behind it. */
static size_t keys_of(const struct command *command, const struct call *call, size_t *first)
{
    if (command->run == command_fcall) {
        char text[24] = {0};
        memcpy(text, call->argv[2].p, call->argv[2].n < 20 ? call->argv[2].n : 20);
        int count = atoi(text); /* here Redis takes " 1" and "01", too */
        *first = 3;
        return count > 0 && count <= (int64_t)call->argc - 3 ? (size_t)count : 0;
    }
    *first = (size_t)command->key;
    return command->key == 0 ? 0 : (command->flags & ALL_KEYS) != 0 ? call->argc - 1 : 1;
}

static bool is_denied(const struct command *command, const struct call *call)
{
    size_t first, count = keys_of(command, call, &first);
    if (call->model->unreadable_count == 0 || command->run == command_fcall || (command->flags & OF_CHANNEL) != 0)
        return false;
    for (size_t i = first; i != first + count; ++i)
        if (find_unreadable(call->model, call->argv[i]) != call->model->unreadable_count)
            return true;
    return false;
}

/* Answers what a cluster's node answers where it does not run the command: true. */
static bool redirects(const struct command *command, const struct call *call)
{
    size_t first, count = keys_of(command, call, &first), missing = 0;
    if (call->model->slots == NULL || count == 0)
        return false;
    uint16_t slot = slot_of(call->argv[first]);
    for (size_t i = first + 1; i != first + count; ++i)
        if (slot_of(call->argv[i]) != slot) {
            reply_error(call->reply, call->to, "CROSSSLOT Keys in request don't hash to the same slot");
            return true;
        }
    const struct slot_state *state = find_slot(call->model, slot);
    if (state == NULL)
        return false;
    if (state->state != REDIS_MODEL_SLOT_MIGRATING) {
        reply_error(call->reply, call->to, "MOVED %u %s", slot, state->other);
        return true;
    }
    for (size_t i = first; i != first + count && (command->flags & OF_CHANNEL) == 0; ++i)
        missing += key_find(call->model, call->argv[i]) == NULL;
    if (missing == count)
        reply_error(call->reply, call->to, "ASK %u %s", slot, state->other);
    else if (missing != 0)
        reply_error(call->reply, call->to, "TRYAGAIN Multiple keys request during rehashing of slot");
    return missing != 0;
}

/* FCALL has those of the function that it names. */
static unsigned flags_of(const struct command *command, const struct call *call)
{
    return command->run == command_fcall && function_of(call->model, call->argv[1]) != NULL ? WRITES | TAKES_MEMORY
                                                                                            : command->flags;
}

static bool has_arity(const struct command *command, size_t argc)
{
    return command->arity < 0 ? argc >= (size_t)-command->arity : argc == (size_t)command->arity;
}

redisReply *redis_model_command(struct redis_model *model, const struct slice *argv, size_t argc)
{
    struct call call = {.model = model, .argv = argv, .argc = argc};
    const struct command *command = NULL;
    bool container = false;
    call.reply = reply_begin(&call.to);
    for (size_t i = 0; command == NULL && i != sizeof(commands) / sizeof(commands[0]); ++i)
        if (argv[0].n != 0 && (argv[0].p[0] | 0x20) == commands[i].name[0] && is_named(commands[i].name, argv, argc, &container))
            command = &commands[i];
    call.name = command == NULL ? NULL : command->name;
    if (command == NULL)
        refuse_unknown(&call, container);
    else if (!has_arity(command, argc))
        call_wrong_arity(&call);
    else if (is_denied(command, &call))
        reply_error(call.reply, call.to, "NOPERM this user has no permissions to access one of the keys used as arguments");
    else if (redirects(command, &call))
        ;
    else if (model->readonly && (flags_of(command, &call) & WRITES) != 0)
        reply_error(call.reply, call.to, "READONLY You can't write against a read only replica.");
    else if (model->out_of_memory && (flags_of(command, &call) & TAKES_MEMORY) != 0)
        reply_error(call.reply, call.to, "OOM command not allowed when used memory > 'maxmemory'.");
    else
        command->run(&call);
    return reply_end(call.reply);
}
