/* Holds the model of Redis to a real redis-server with proto/bus/sse.lua: the same random commands go to both, and the answers and published messages must be the same,
 * byte for byte. The server's clock is the check's (model_check_clock.c), so ids, times to live and expiry are compared too, and clocks that step back.
 *
 *     model_check [--seed N] [--rounds N] [--minutes N] [--cluster] [--trace]
 *
 * A round begins with empty data and a seed of its own. --cluster: two nodes, between which the slot of a channel moves key by key. Not compared: radix-tree-nodes of XINFO, which counts a tree's memory, and the line number of the library behind an
 * error that a command within it raised. Not drawn: rights, but the one to read a key. */
#include <sys/mman.h>

#include "runtime/redis/slot.h"
#include "tests/simulation/model_check_draw.h"
#include "tests/simulation/redis_model.h"
#include "tests/unit/redis_server.h"

enum {
    ROUND_COMMANDS = 300,
    MESSAGES_MAX = 8, /* of one command */
    SHOWN_MAX = 5, /* differences printed */
};

static const uint64_t START_US = 1767225600000000; /* the first round's */

struct message {
    bool sharded;
    char channel[300];
    size_t channel_len;
    char *payload;
    size_t payload_len;
};

/* A real server and its model. */
struct node {
    struct server server;
    char id[48], bus_port[8]; /* in a cluster */
    redisContext *gateway; /* of a user who may not read some keys */
    redisContext *listener;
    struct redis_model *model;
};

struct check {
    struct node nodes[2]; /* the second one only in a cluster */
    struct node *node; /* that commands go to */
    size_t node_count;
    bool cluster;
    struct redis_model *other; /* a copy that goes another way: nothing of it may be seen */
    struct drawing drawing;
    volatile uint64_t *clock_us;
    struct message messages[MESSAGES_MAX]; /* of the model, by the last command */
    size_t message_count;
    bool unreadable[DRAW_KEYS];
    bool any_unreadable, out_of_memory, readonly, trace;
    char *library; /* sse.lua */
    uint64_t seed, commands, compared_messages, differences;
};

/* ---- showing ---- */

static void show(const char *what, struct slice text)
{
    printf("%s", what);
    for (size_t i = 0; i != text.n && i != 300; ++i)
        printf(text.p[i] >= 0x20 && text.p[i] < 0x7f && text.p[i] != '\\' ? "%c" : "\\x%02x", (unsigned char)text.p[i]);
}

static void show_reply(const redisReply *reply)
{
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        printf(" (%lld)", reply->integer);
        break;
    case REDIS_REPLY_NIL:
        printf(" nil");
        break;
    case REDIS_REPLY_ARRAY:
        printf(" [");
        for (size_t i = 0; i != reply->elements; ++i)
            show_reply(reply->element[i]);
        printf(" ]");
        break;
    default:
        show(reply->type == REDIS_REPLY_ERROR    ? " !\""
             : reply->type == REDIS_REPLY_STATUS ? " +\""
                                                 : " \"",
             slice_make(reply->str, reply->len));
        printf("\"");
    }
}

static void show_command(const struct check *check)
{
    printf("#   %" PRIu64 ".%06" PRIu64, *check->clock_us / 1000000, *check->clock_us % 1000000);
    for (size_t i = 0; i != check->drawing.argc; ++i)
        show(" ", check->drawing.argv[i]);
    printf("\n");
}

/* ---- comparing ---- */

/* Takes the digits behind "@user_function:" away: the library's line. */
static size_t without_line(char *out, size_t room, const redisReply *reply)
{
    static const char mark[] = ", on @user_function:";
    snprintf(out, room, "%s", reply->str);
    char *at = strstr(out, mark);
    if (at != NULL)
        at[sizeof(mark) - 1] = 0;
    return strlen(out);
}

static bool same(const redisReply *one, const redisReply *other);

static bool same_elements(const redisReply *one, const redisReply *other)
{
    bool xinfo =
        one->elements == 20 && one->element[4]->type == REDIS_REPLY_STRING && strcmp(one->element[4]->str, "radix-tree-nodes") == 0;
    for (size_t i = 0; i != one->elements; ++i)
        if (!(xinfo && i == 5) && !same(one->element[i], other->element[i]))
            return false;
    return true;
}

static bool same(const redisReply *one, const redisReply *other)
{
    char text[2][1200];
    if (one->type != other->type)
        return false;
    switch (one->type) {
    case REDIS_REPLY_INTEGER:
        return one->integer == other->integer;
    case REDIS_REPLY_NIL:
        return true;
    case REDIS_REPLY_ARRAY:
        return one->elements == other->elements && same_elements(one, other);
    case REDIS_REPLY_ERROR:
        return slice_eq(slice_make(text[0], without_line(text[0], sizeof(text[0]), one)),
                        slice_make(text[1], without_line(text[1], sizeof(text[1]), other)));
    default:
        return slice_eq(slice_make(one->str, one->len), slice_make(other->str, other->len));
    }
}

static void differ(struct check *check, const char *what, const redisReply *real, const redisReply *model)
{
    if (check->differences++ >= SHOWN_MAX)
        return;
    printf("# seed %" PRIu64 ", command %" PRIu64 ": %s\n", check->seed, check->commands, what);
    show_command(check);
    printf("#   Redis:");
    show_reply(real);
    printf("\n#   model:");
    show_reply(model);
    printf("\n");
}

/* ---- messages ---- */

static const struct slice sharded_channels[] = {{"sse:a", 5}, {"sse:news", 8}, {"x-1:b:c", 7}};

/* The listener has all channels by a pattern, and of sharded ones those above. In a cluster only these: what is published by PUBLISH goes to all nodes there, some time. */
static size_t on_publish(void *data, bool sharded, struct slice channel, struct slice payload)
{
    struct check *check = data;
    bool heard = !sharded && !check->cluster;
    for (size_t i = 0; i != 3; ++i)
        heard = heard || (sharded && slice_eq(channel, sharded_channels[i]));
    if (!heard)
        return 0;
    struct message *message = &check->messages[check->message_count++];
    if (check->message_count > MESSAGES_MAX)
        bail_out("too many messages");
    *message =
        (struct message){.sharded = sharded, .channel_len = channel.n, .payload = malloc(payload.n + 1), .payload_len = payload.n};
    memcpy(message->channel, channel.p, channel.n);
    memcpy(message->payload, payload.p, payload.n);
    return 1;
}

static redisReply *receive(redisContext *context)
{
    redisReply *reply = NULL;
    if (redisGetReply(context, (void **)&reply) != REDIS_OK)
        bail_out("a connection to the real server is gone");
    return reply;
}

/* ["pmessage", pattern, channel, payload], or ["smessage", channel, payload] */
static bool is_message(const redisReply *reply, const struct message *message)
{
    size_t n = message->sharded ? 3 : 4;
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == n &&
           strcmp(reply->element[0]->str, message->sharded ? "smessage" : "pmessage") == 0 &&
           slice_eq(slice_make(reply->element[n - 2]->str, reply->element[n - 2]->len),
                    slice_make(message->channel, message->channel_len)) &&
           slice_eq(slice_make(reply->element[n - 1]->str, reply->element[n - 1]->len),
                    slice_make(message->payload, message->payload_len));
}

/* A PING behind the messages tells that there are no more. */
static void compare_messages(struct check *check)
{
    redisAppendCommand(check->node->listener, "PING");
    for (size_t i = 0;; ++i) {
        redisReply *reply = receive(check->node->listener);
        bool pong = reply->type == REDIS_REPLY_STATUS || reply->elements == 2; /* an array where something is subscribed */
        if (reply->type == REDIS_REPLY_ERROR)
            printf("# %s\n", reply->str), bail_out("the listener");
        if (!pong && strcmp(reply->element[0]->str, "sunsubscribe") == 0) { /* a slot has left the node */
            freeReplyObject(reply);
            --i;
            continue;
        }
        bool good = pong ? i == check->message_count : i < check->message_count && is_message(reply, &check->messages[i]);
        if (!good)
            differ(check, pong ? "a message that Redis did not publish" : "another message, or one that the model did not publish",
                   reply, reply);
        check->compared_messages += !pong;
        freeReplyObject(reply);
        if (pong)
            break;
    }
    while (check->message_count != 0)
        free(check->messages[--check->message_count].payload);
}

/* ---- one command ---- */

static redisReply *ask(redisContext *context, const struct slice *argv, size_t argc)
{
    const char *words[DRAW_WORDS];
    size_t sizes[DRAW_WORDS];
    for (size_t i = 0; i != argc; ++i) {
        words[i] = argv[i].p;
        sizes[i] = argv[i].n;
    }
    redisAppendCommandArgv(context, (int)argc, words, sizes);
    return receive(context);
}

static bool publishes(const struct drawing *drawing)
{
    return strchr("fFpPsS", drawing->argv[0].p[0]) != NULL && drawing->argv[0].n != 0;
}

/* The command in check->drawing. */
static void run(struct check *check)
{
    struct drawing *drawing = &check->drawing;
    bool by_gateway = check->any_unreadable && strncasecmp(drawing->argv[0].p, "fcall", 5) != 0;
    redisReply *model = redis_model_command(check->node->model, drawing->argv, drawing->argc);
    redisReply *real = ask(by_gateway ? check->node->gateway : check->node->server.control, drawing->argv, drawing->argc);
    ++check->commands;
    if (check->trace) {
        show_command(check);
        printf("#     ");
        show_reply(real);
        printf("\n");
    }
    if (!same(real, model))
        differ(check, "another answer", real, model);
    if (publishes(drawing) || check->message_count != 0)
        compare_messages(check);
    draw_learn(drawing, real);
    freeReplyObject(real);
    redis_model_reply_free(model);
}

__attribute__((sentinel)) static void run_words(struct check *check, ...)
{
    struct drawing *drawing = &check->drawing;
    va_list args;
    va_start(args, check);
    drawing->argc = 0;
    for (const char *word; (word = va_arg(args, const char *)) != NULL;)
        drawing->argv[drawing->argc++] = slice_of(word);
    va_end(args);
    run(check);
}

/* ---- what happens between commands ---- */

static void set_clock(struct check *check, uint64_t now_us)
{
    *check->clock_us = now_us;
    check->drawing.now_us = now_us;
    for (size_t i = 0; i != check->node_count; ++i)
        redis_model_clock(check->nodes[i].model, now_us);
}

/* To the last millisecond of a key, or the first one after it. */
static void step_to_end(struct check *check)
{
    struct slice key = draw_key((size_t)draw_number(&check->drawing, DRAW_KEYS)), pttl[] = {SLICE("PTTL"), key};
    redisReply *real = ask(check->node->server.control, pttl, 2);
    redisReply *model = redis_model_command(check->node->model, pttl, 2);
    if (real->type == REDIS_REPLY_INTEGER && real->integer > 0 && real->integer < 1000000) {
        set_clock(check, (*check->clock_us / 1000 + (uint64_t)real->integer + draw_number(&check->drawing, 2)) * 1000);
        check->drawing.argc = 0;
        check->drawing.argv[check->drawing.argc++] = SLICE("TYPE");
        check->drawing.argv[check->drawing.argc++] = key;
        run(check);
    }
    freeReplyObject(real);
    redis_model_reply_free(model);
}

static void step_clock(struct check *check)
{
    uint64_t now = *check->clock_us, ms = 1000, kind = draw_number(&check->drawing, 100);
    if (kind < 40)
        set_clock(check, now + draw_number(&check->drawing, 3 * ms));
    else if (kind < 43)
        set_clock(check, now + draw_number(&check->drawing, 120000 * ms));
    else if (kind == 43)
        set_clock(check, now + draw_number(&check->drawing, 100000000 * ms));
    else if (kind == 44)
        set_clock(check, now - draw_number(&check->drawing, 20 * ms));
    else if (kind == 46)
        step_to_end(check);
    else if (kind == 45 && now > START_US)
        set_clock(check, now - draw_number(&check->drawing, 100000 * ms));
}

static void set_out_of_memory(struct check *check, bool on)
{
    check->out_of_memory = on;
    redis_model_out_of_memory(check->node->model, on);
    server_set(&check->node->server, "CONFIG SET maxmemory %d", on ? 1 : 0);
}

static void set_readonly(struct check *check, bool on)
{
    check->readonly = on;
    redis_model_readonly(check->node->model, on);
    if (on)
        server_set(&check->node->server, "REPLICAOF 127.0.0.1 1");
    else
        server_set(&check->node->server, "REPLICAOF NO ONE");
}

/* The gateway's user has the keys that it may read, one by one. */
static void set_unreadable(struct check *check, size_t number, bool on)
{
    const char *words[DRAW_KEYS + 8] = {"ACL", "SETUSER", "gateway", "reset", "on", "nopass", "+@all", "&*"};
    char patterns[DRAW_KEYS][130];
    int n = 8;
    check->unreadable[number] = on;
    check->any_unreadable = false;
    redis_model_unreadable(check->node->model, draw_key(number), on);
    for (size_t i = 0; i != DRAW_KEYS; ++i) {
        struct slice key = draw_key(i);
        check->any_unreadable = check->any_unreadable || check->unreadable[i];
        if (check->unreadable[i])
            continue;
        snprintf(patterns[i], sizeof(patterns[i]), "~%.*s", (int)key.n, key.p);
        for (char *blank; (blank = strchr(patterns[i], ' ')) != NULL;)
            *blank = '?'; /* a pattern holds no blanks */
        words[n++] = patterns[i];
    }
    redisReply *reply = redisCommandArgv(check->node->server.control, n, words, NULL);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
        bail_out("ACL SETUSER");
    freeReplyObject(reply);
}

/* Continues with a copy of the model, and runs commands on the original that the real server does not get: the copy must not change. A copy is another process, whose library remembers nothing, so the real library is loaded again. */
static void copy_model(struct check *check)
{
    struct drawing apart;
    if (check->out_of_memory || check->readonly)
        return;
    redis_model_free(check->other);
    check->other = check->node->model;
    check->node->model = redis_model_copy(check->other);
    redis_model_on_publish(check->node->model, on_publish, check);
    redis_model_on_publish(check->other, NULL, NULL);
    draw_begin(&apart, check->drawing.seed);
    apart.now_us = check->drawing.now_us;
    memcpy(apart.ids, check->drawing.ids, sizeof(apart.ids));
    for (int i = 0; i != 20; ++i) {
        draw_command(&apart);
        redis_model_reply_free(redis_model_command(check->other, apart.argv, apart.argc));
    }
    run_words(check, "FUNCTION", "LOAD", "REPLACE", check->library, NULL);
}

/* Redis has no command for it; DEL does the same. */
static void evict(struct check *check, struct slice key)
{
    if (check->readonly)
        return;
    redis_model_evict(check->node->model, key);
    freeReplyObject(ask(check->node->server.control, (struct slice[]){SLICE("DEL"), key}, 2));
}

static void disturb(struct check *check)
{
    size_t number;
    if (draw_number(&check->drawing, 60) == 0)
        run_words(check, "FUNCTION", "LOAD", "REPLACE", check->library, NULL);
    else if (draw_number(&check->drawing, 300) == 0)
        run_words(check, "FUNCTION", "LOAD", check->library, NULL);
    switch (draw_number(&check->drawing, 400)) {
    case 0:
    case 1:
        copy_model(check);
        break;
    case 2:
        set_out_of_memory(check, true);
        break;
    case 3:
        set_readonly(check, true);
        break;
    case 4:
    case 5:
        number = draw_number(&check->drawing, DRAW_KEYS);
        set_unreadable(check, draw_number(&check->drawing, 2) == 0 ? number : number / 10 * 10, true);
        break;
    case 6 ... 40:
        if (check->out_of_memory)
            set_out_of_memory(check, false);
        else if (check->readonly)
            set_readonly(check, false);
        else
            for (size_t i = 0; i != DRAW_KEYS; ++i)
                if (check->unreadable[i])
                    set_unreadable(check, i, false);
        break;
    case 41:
    case 42:
        evict(check, draw_key((size_t)draw_number(&check->drawing, DRAW_KEYS)));
        break;
    default:
        break;
    }
}

/* ---- rounds ---- */

/* Lifts all faults. */
static void settle(struct check *check)
{
    if (check->out_of_memory)
        set_out_of_memory(check, false);
    if (check->readonly)
        set_readonly(check, false);
    for (size_t i = 0; i != DRAW_KEYS; ++i)
        if (check->unreadable[i])
            set_unreadable(check, i, false);
}

/* Compares all that is in the keys. */
static void sweep(struct check *check)
{
    char key[130];
    for (size_t i = 0; i != DRAW_KEYS; ++i) {
        struct slice name = draw_key(i);
        snprintf(key, sizeof(key), "%.*s", (int)name.n, name.p);
        run_words(check, "TYPE", key, NULL);
        run_words(check, "PTTL", key, NULL);
        run_words(check, "GET", key, NULL);
        run_words(check, "XINFO", "STREAM", key, NULL);
        run_words(check, "XRANGE", key, "-", "+", NULL);
    }
}

/* What the server logs is of no interest, but it waits where nobody reads it. */
static void drain_log(const struct server *server)
{
    char bytes[1 << 16];
    while (read(server->log, bytes, sizeof(bytes)) > 0)
        ;
}

/* Both begin with nothing. */
static void begin_round(struct check *check, uint64_t seed)
{
    check->seed = seed;
    draw_begin(&check->drawing, seed);
    for (size_t i = check->node_count; i-- != 0;) {
        check->node = &check->nodes[i];
        drain_log(&check->node->server);
        server_set(&check->node->server, "FLUSHALL");
        check->node->model = redis_model_create(START_US, seed);
        redis_model_on_publish(check->node->model, on_publish, check);
    }
}

static void end_round(struct check *check)
{
    for (size_t i = 0; i != check->node_count; ++i) {
        redis_model_free(check->nodes[i].model);
        check->nodes[i].model = NULL;
    }
    redis_model_free(check->other);
    check->other = NULL;
}

/* Fills nodes of a history with entries of one size, where each byte counts: at 64 bytes a text takes another form, and numbers have forms of their own. How many go where half
 * the entries may go tells where the nodes end. */
static void fill(struct check *check)
{
    char value[80], half[24];
    uint64_t left = 80 + draw_number(&check->drawing, 170);
    bool text = draw_number(&check->drawing, 2) == 0;
    size_t n = text ? 61 + (size_t)draw_number(&check->drawing, 6) : 1 + (size_t)draw_number(&check->drawing, 12);
    memset(value, text ? 'x' : '1' + (char)draw_number(&check->drawing, 9), n);
    value[n] = 0;
    for (uint64_t i = 0; i != left; ++i)
        if (text)
            run_words(check, "XADD", "{sse:a}:log", "*", "f", value, NULL);
        else
            run_words(check, "XADD", "{sse:a}:log", "*", "a", value, "b", value, "c", value, "d", value, "e", value, "f", value,
                      "g", value, NULL);
    for (; left != 0; left /= 2) {
        snprintf(half, sizeof(half), "%" PRIu64, left);
        run_words(check, "XTRIM", "{sse:a}:log", "MAXLEN", "~", half, NULL);
    }
}

static void run_round(struct check *check, uint64_t seed)
{
    begin_round(check, seed);
    set_clock(check, START_US + draw_number(&check->drawing, 1000000));
    run_words(check, "FUNCTION", "LOAD", "REPLACE", check->library, NULL);
    if (draw_number(&check->drawing, 2) == 0)
        fill(check);
    for (int i = 0; i != ROUND_COMMANDS; ++i) {
        step_clock(check);
        disturb(check);
        draw_command(&check->drawing);
        run(check);
    }
    settle(check);
    sweep(check);
    end_round(check);
}

/* ---- rounds in a cluster ---- */

static const char *address_of(char out[32], const struct node *node)
{
    snprintf(out, 32, "127.0.0.1:%d", node->server.port);
    return out;
}

static long epoch_of(struct node *node)
{
    redisReply *info = server_do(&node->server, "CLUSTER INFO");
    const char *at = strstr(info->str, "cluster_current_epoch:");
    long epoch = at == NULL ? -1 : atol(at + strlen("cluster_current_epoch:"));
    freeReplyObject(info);
    return epoch;
}

/* What a node says of its slots counts above all that was said before. The other one may have said something that has not come yet. */
static void bump_epoch(struct check *check, struct node *node)
{
    if (!run_until(epoch_of(&check->nodes[0]) == epoch_of(&check->nodes[1])))
        bail_out("the nodes do not hear each other");
    server_set(&node->server, "CLUSTER BUMPEPOCH");
}

/* The slot at both nodes, the real ones and the models. */
static void set_slot(struct check *check, uint16_t slot, enum redis_model_slot first, enum redis_model_slot second)
{
    static const char *const words[] = {[REDIS_MODEL_SLOT_MIGRATING] = "MIGRATING", [REDIS_MODEL_SLOT_IMPORTING] = "IMPORTING"};
    enum redis_model_slot states[2] = {first, second};
    char address[32];
    for (size_t i = 2; i-- != 0;) {
        struct node *node = &check->nodes[i], *other = &check->nodes[1 - i];
        redis_model_slot(node->model, slot, states[i], address_of(address, other));
        if (states[i] == REDIS_MODEL_SLOT_HERE)
            bump_epoch(check, node);
        if (states[i] >= REDIS_MODEL_SLOT_MIGRATING)
            server_set(&node->server, "CLUSTER SETSLOT %d %s %s", slot, words[states[i]], other->id);
        else
            server_set(&node->server, "CLUSTER SETSLOT %d NODE %s", slot,
                       states[i] == REDIS_MODEL_SLOT_HERE ? node->id : other->id);
    }
}

static void migrate(struct check *check, struct slice key)
{
    struct node *from = &check->nodes[0], *to = &check->nodes[1];
    char port[8];
    snprintf(port, sizeof(port), "%d", to->server.port);
    redisReply *reply = ask(
        from->server.control,
        (struct slice[]){SLICE("MIGRATE"), SLICE("127.0.0.1"), slice_of(port), key, SLICE("0"), SLICE("5000"), SLICE("REPLACE")},
        7);
    bool was = redis_model_migrate_key(from->model, to->model, key);
    if (strcmp(reply->str, was ? "OK" : "NOKEY") != 0)
        differ(check, "MIGRATE", reply, reply);
    freeReplyObject(reply);
}

/* The second node's model knows the slots of the three channels alone. */
static bool suits_second(const struct drawing *drawing)
{
    bool fcall = strncasecmp(drawing->argv[0].p, "fcall", drawing->argv[0].n) == 0, found = false;
    if (!fcall && strncasecmp(drawing->argv[0].p, "spublish", drawing->argv[0].n) != 0)
        return true;
    for (size_t i = 0; i != 3; ++i)
        found = found || (drawing->argc > 3 && slice_eq(drawing->argv[fcall ? 3 : 1], sharded_channels[i]));
    return found && (!fcall || slice_eq(drawing->argv[2], SLICE("1")));
}

static void run_some(struct check *check, int commands)
{
    for (int i = 0; i != commands; ++i) {
        set_clock(check, *check->clock_us + draw_number(&check->drawing, 2000));
        if (draw_number(&check->drawing, 100) == 0)
            copy_model(check);
        draw_command(&check->drawing);
        if (suits_second(&check->drawing))
            check->node = &check->nodes[draw_number(&check->drawing, 3) == 0];
        run(check);
        check->node = &check->nodes[0];
    }
}

static void listen_to(const struct node *node, struct slice channel)
{
    redisAppendCommand(node->listener, "SSUBSCRIBE %b", channel.p, channel.n);
    redisReply *reply = receive(node->listener);
    while (reply->type == REDIS_REPLY_ARRAY && strcmp(reply->element[0]->str, "sunsubscribe") == 0) {
        freeReplyObject(reply);
        reply = receive(node->listener);
    }
    if (reply->type != REDIS_REPLY_ARRAY)
        printf("# port %d: %s\n", node->server.port, reply->str), bail_out("SSUBSCRIBE");
    freeReplyObject(reply);
}

/* One of the channels moves to the second node, key by key. */
static void run_cluster_round(struct check *check, uint64_t seed)
{
    uint16_t slots[3];
    begin_round(check, seed);
    set_clock(check, START_US + draw_number(&check->drawing, 1000000));
    for (size_t i = 0; i != 2; ++i) {
        check->node = &check->nodes[1 - i];
        redis_model_cluster(check->node->model);
        run_words(check, "FUNCTION", "LOAD", "REPLACE", check->library, NULL);
    }
    for (size_t i = 0; i != 3; ++i) {
        slots[i] = slot_of(sharded_channels[i]);
        set_slot(check, slots[i], REDIS_MODEL_SLOT_HERE, REDIS_MODEL_SLOT_ELSEWHERE);
        listen_to(&check->nodes[0], sharded_channels[i]);
    }
    size_t channel = check->drawing.favourite;
    run_some(check, 60);
    set_slot(check, slots[channel], REDIS_MODEL_SLOT_MIGRATING, REDIS_MODEL_SLOT_IMPORTING);
    run_some(check, 40);
    for (size_t i = 0; i != 10; ++i)
        if (draw_number(&check->drawing, 2) == 0)
            migrate(check, draw_key(10 * channel + i));
    run_some(check, 40);
    redisReply *rest = server_do(&check->nodes[0].server, "CLUSTER GETKEYSINSLOT %d 1000", slots[channel]);
    for (size_t i = 0; i != rest->elements; ++i)
        migrate(check, slice_make(rest->element[i]->str, rest->element[i]->len));
    freeReplyObject(rest);
    set_slot(check, slots[channel], REDIS_MODEL_SLOT_ELSEWHERE, REDIS_MODEL_SLOT_HERE);
    listen_to(&check->nodes[1], sharded_channels[channel]);
    run_some(check, 100);
    sweep(check);
    check->node = &check->nodes[1];
    sweep(check);
    end_round(check);
}

/* ---- the real server ---- */

/* The file that its clock is in. */
static volatile uint64_t *open_clock(void)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/clock", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd == -1 || ftruncate(fd, sizeof(uint64_t)) != 0)
        bail_out("the clock's file");
    void *map = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        bail_out("the clock's file");
    close(fd);
    setenv("MODEL_CHECK_CLOCK", path, 1);
    *(uint64_t *)map = START_US;
    return map;
}

static redisContext *connect_to(const struct server *server)
{
    redisContext *context = redisConnectUnix(server->sock);
    if (context == NULL || context->err != 0)
        bail_out("connect");
    return context;
}

static void start_node(struct node *node, const char *name, const char *const *config)
{
    struct server *server = &node->server;
    *server = (struct server){.name = name, .config = config};
    setenv("LD_PRELOAD", CLOCK, 1);
    server_start(server);
    unsetenv("LD_PRELOAD");
    fcntl(server->log, F_SETFL, O_NONBLOCK);
    server_set(server, "CONFIG SET loglevel warning");
    server_set(server, "DEBUG SET-ACTIVE-EXPIRE 0"); /* a key goes when a command names it, so that it is known when */
    server_set(server, "ACL SETUSER gateway on nopass +@all &*");
    node->listener = connect_to(server);
    node->gateway = connect_to(server);
    freeReplyObject(ask(node->gateway, (struct slice[]){SLICE("AUTH"), SLICE("gateway"), SLICE("any")}, 3));
}

static void stop_node(struct node *node)
{
    redisFree(node->gateway);
    redisFree(node->listener);
    server_stop(&node->server, SIGTERM);
}

static char *read_library(void)
{
    FILE *file = fopen(SSE_LUA, "r");
    char *text = NULL;
    size_t room = 0;
    if (file == NULL || getdelim(&text, &room, 0, file) <= 0)
        bail_out(SSE_LUA);
    fclose(file);
    return text;
}

static void start_one(struct check *check)
{
    static const char *const config[] = {"--enable-debug-command", "yes", NULL};
    check->node = &check->nodes[0];
    start_node(check->node, "real", config);
    redisAppendCommand(check->node->listener, "PSUBSCRIBE *");
    freeReplyObject(receive(check->node->listener));
    for (size_t i = 0; i != 3; ++i)
        listen_to(check->node, sharded_channels[i]);
}

/* True once the node has joined the other one and takes commands. Time has to go on for that. */
static bool is_up(struct check *check, struct node *node)
{
    redisReply *info = server_do(&node->server, "CLUSTER INFO"), *nodes = server_do(&node->server, "CLUSTER NODES");
    bool up = strstr(info->str, "cluster_state:ok") != NULL && strstr(info->str, "cluster_known_nodes:2") != NULL &&
              strstr(nodes->str, "handshake") == NULL && strstr(nodes->str, "disconnected") == NULL;
    freeReplyObject(info);
    freeReplyObject(nodes);
    *check->clock_us += 20000;
    return up;
}

static void start_cluster(struct check *check)
{
    static const char *const names[] = {"first", "second"};
    for (size_t i = 0; i != 2; ++i) {
        struct node *node = &check->nodes[i];
        char file[16];
        snprintf(node->bus_port, sizeof(node->bus_port), "%d", free_port());
        snprintf(file, sizeof(file), "%s.conf", names[i]);
        const char *const config[] = {"--enable-debug-command",
                                      "yes",
                                      "--cluster-enabled",
                                      "yes",
                                      "--cluster-config-file",
                                      file,
                                      "--cluster-port",
                                      node->bus_port,
                                      "--cluster-node-timeout",
                                      "1000000000",
                                      "--cluster-allow-replica-migration",
                                      "no", /* a node that has no slot stays a primary */
                                      NULL};
        start_node(node, names[i], config);
        redisReply *id = server_do(&node->server, "CLUSTER MYID");
        snprintf(node->id, sizeof(node->id), "%s", id->str);
        freeReplyObject(id);
    }
    server_set(&check->nodes[0].server, "CLUSTER ADDSLOTSRANGE 0 16383");
    server_set(&check->nodes[1].server, "CLUSTER MEET 127.0.0.1 %d %s", check->nodes[0].server.port, check->nodes[0].bus_port);
    if (!run_until(is_up(check, &check->nodes[0]) && is_up(check, &check->nodes[1])))
        bail_out("the cluster does not come up");
}

int main(int argc, char **argv)
{
    struct check check = {.node_count = 1};
    uint64_t seed = 1, rounds = 40, minutes = 0, done = 0;
    for (int i = 1; i < argc; ++i) {
        uint64_t *number = strcmp(argv[i], "--seed") == 0      ? &seed
                           : strcmp(argv[i], "--rounds") == 0  ? &rounds
                           : strcmp(argv[i], "--minutes") == 0 ? &minutes
                                                               : NULL;
        if (strcmp(argv[i], "--trace") == 0)
            check.trace = true;
        else if (strcmp(argv[i], "--cluster") == 0)
            check.cluster = true, check.node_count = 2;
        else if (number != NULL && i + 1 < argc)
            *number = strtoull(argv[++i], NULL, 10);
        else
            bail_out("usage: model_check [--seed N] [--rounds N] [--minutes N] [--cluster] [--trace]");
    }
    servers_init();
    check.clock_us = open_clock();
    check.library = read_library();
    (check.cluster ? start_cluster : start_one)(&check);
    uint64_t end = clock_ms() + minutes * 60000;
    for (; minutes == 0 ? done != rounds : clock_ms() < end; ++done)
        (check.cluster ? run_cluster_round : run_round)(&check, seed + done);
    for (size_t i = 0; i != check.node_count; ++i)
        stop_node(&check.nodes[i]);
    check(check.differences == 0 && check.compared_messages != 0,
          "the model answers as Redis does: %" PRIu64 " commands and %" PRIu64 " messages of %" PRIu64 " rounds from seed %" PRIu64
          ", %" PRIu64 " differences",
          check.commands, check.compared_messages, done, seed, check.differences);
    free(check.library);
    return check_end();
}
