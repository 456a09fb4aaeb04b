/* Holds the model of Redis to a real redis-server with proto/bus/sse.lua: the same random commands go to both, and the answers and published messages must be the same,
 * byte for byte. The server's clock is the check's (model_check_clock.c), so ids, times to live and expiry are compared too, and clocks that step back.
 *
 *     model_check [--seed N] [--rounds N] [--minutes N] [--cluster] [--trace]
 *
 * A round begins with empty data and a seed of its own. Not compared: radix-tree-nodes of XINFO, which counts a tree's memory, and the line number of the library behind an
 * error that a command within it raised. Not drawn: an XSETID below what a stream once had; rights, but the one to read a key. */
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

struct check {
    struct server *server;
    redisContext *gateway; /* of a user who may not read some keys */
    redisContext *listener;
    struct redis_model *model;
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
    static const char mark[] = "script: sse_publish, on @user_function:";
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

/* The listener has all channels by a pattern, and of sharded ones those above. */
static size_t on_publish(void *data, bool sharded, struct slice channel, struct slice payload)
{
    struct check *check = data;
    bool heard = !sharded;
    for (size_t i = 0; i != 3; ++i)
        heard = heard || slice_eq(channel, sharded_channels[i]);
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
    redisAppendCommand(check->listener, "PING");
    for (size_t i = 0;; ++i) {
        redisReply *reply = receive(check->listener);
        bool pong = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
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
    redisReply *model = redis_model_command(check->model, drawing->argv, drawing->argc);
    redisReply *real = ask(by_gateway ? check->gateway : check->server->control, drawing->argv, drawing->argc);
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
    redis_model_clock(check->model, now_us);
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
    else if (kind == 45 && now > START_US)
        set_clock(check, now - draw_number(&check->drawing, 100000 * ms));
}

static void set_out_of_memory(struct check *check, bool on)
{
    check->out_of_memory = on;
    redis_model_out_of_memory(check->model, on);
    server_set(check->server, "CONFIG SET maxmemory %d", on ? 1 : 0);
}

static void set_readonly(struct check *check, bool on)
{
    check->readonly = on;
    redis_model_readonly(check->model, on);
    if (on)
        server_set(check->server, "REPLICAOF 127.0.0.1 1");
    else
        server_set(check->server, "REPLICAOF NO ONE");
}

/* The gateway's user has the keys that it may read, one by one. */
static void set_unreadable(struct check *check, size_t number, bool on)
{
    const char *words[DRAW_KEYS + 8] = {"ACL", "SETUSER", "gateway", "reset", "on", "nopass", "+@all", "&*"};
    char patterns[DRAW_KEYS][130];
    int n = 8;
    check->unreadable[number] = on;
    check->any_unreadable = false;
    redis_model_unreadable(check->model, draw_key(number), on);
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
    redisReply *reply = redisCommandArgv(check->server->control, n, words, NULL);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
        bail_out("ACL SETUSER");
    freeReplyObject(reply);
}

/* Goes on with a copy of the model, or runs something on one that the real server never hears of. */
static void copy_model(struct check *check)
{
    struct drawing apart;
    redis_model_free(check->other);
    check->other = check->model;
    check->model = redis_model_copy(check->other);
    redis_model_on_publish(check->model, on_publish, check);
    redis_model_on_publish(check->other, NULL, NULL);
    draw_begin(&apart, check->drawing.seed);
    apart.now_us = check->drawing.now_us;
    memcpy(apart.ids, check->drawing.ids, sizeof(apart.ids));
    for (int i = 0; i != 20; ++i) {
        draw_command(&apart);
        redis_model_reply_free(redis_model_command(check->other, apart.argv, apart.argc));
    }
}

static void disturb(struct check *check)
{
    size_t number;
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
    default:
        break;
    }
    if (draw_number(&check->drawing, 60) == 0)
        run_words(check, "FUNCTION", "LOAD", "REPLACE", check->library, NULL);
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

static void run_round(struct check *check, uint64_t seed)
{
    drain_log(check->server);
    check->seed = seed;
    check->model = redis_model_create(START_US, seed);
    redis_model_on_publish(check->model, on_publish, check);
    draw_begin(&check->drawing, seed);
    set_clock(check, START_US + draw_number(&check->drawing, 1000000));
    server_set(check->server, "FLUSHALL");
    run_words(check, "FUNCTION", "LOAD", "REPLACE", check->library, NULL);
    if (draw_number(&check->drawing, 4) == 0)
        for (uint64_t n = draw_number(&check->drawing, 250); n != 0; --n)
            run_words(check, "XADD", "{sse:a}:log", "*", "f", "x", NULL);
    for (int i = 0; i != ROUND_COMMANDS; ++i) {
        step_clock(check);
        disturb(check);
        draw_command(&check->drawing);
        run(check);
    }
    settle(check);
    sweep(check);
    redis_model_free(check->model);
    redis_model_free(check->other);
    check->model = check->other = NULL;
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

static void start_server(struct server *server)
{
    setenv("LD_PRELOAD", CLOCK, 1);
    server_start(server);
    unsetenv("LD_PRELOAD");
    fcntl(server->log, F_SETFL, O_NONBLOCK);
    server_set(server, "CONFIG SET loglevel warning");
    server_set(server, "DEBUG SET-ACTIVE-EXPIRE 0"); /* a key goes when a command names it, so that it is known when */
    server_set(server, "ACL SETUSER gateway on nopass +@all &*");
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

static redisContext *connect_to(const struct server *server)
{
    redisContext *context = redisConnectUnix(server->sock);
    if (context == NULL || context->err != 0)
        bail_out("connect");
    return context;
}

static void subscribe(struct check *check)
{
    check->listener = connect_to(check->server);
    redisAppendCommand(check->listener, "PSUBSCRIBE *");
    freeReplyObject(receive(check->listener));
    for (size_t i = 0; i != 3; ++i) {
        redisAppendCommand(check->listener, "SSUBSCRIBE %b", sharded_channels[i].p, sharded_channels[i].n);
        freeReplyObject(receive(check->listener));
    }
}

static void check_one_server(struct check *check, uint64_t seed, uint64_t rounds, uint64_t minutes)
{
    static const char *const config[] = {"--enable-debug-command", "yes", NULL};
    struct server server = {.name = "real", .config = config};
    uint64_t end = clock_ms() + minutes * 60000, done = 0;
    check->server = &server;
    start_server(&server);
    subscribe(check);
    check->gateway = connect_to(&server);
    freeReplyObject(ask(check->gateway, (struct slice[]){SLICE("AUTH"), SLICE("gateway"), SLICE("any")}, 3));
    for (; minutes == 0 ? done != rounds : clock_ms() < end; ++done)
        run_round(check, seed + done);
    redisFree(check->gateway);
    redisFree(check->listener);
    server_stop(&server, SIGTERM);
    check(check->differences == 0 && check->compared_messages != 0,
          "the model answers as Redis does: %" PRIu64 " commands and %" PRIu64 " messages of %" PRIu64 " rounds from seed %" PRIu64
          ", %" PRIu64 " differences",
          check->commands, check->compared_messages, done, seed, check->differences);
}

int main(int argc, char **argv)
{
    struct check check = {.trace = false};
    uint64_t seed = 1, rounds = 40, minutes = 0;
    for (int i = 1; i < argc; ++i) {
        uint64_t *number = strcmp(argv[i], "--seed") == 0      ? &seed
                           : strcmp(argv[i], "--rounds") == 0  ? &rounds
                           : strcmp(argv[i], "--minutes") == 0 ? &minutes
                                                               : NULL;
        if (strcmp(argv[i], "--trace") == 0)
            check.trace = true;
        else if (number != NULL && i + 1 < argc)
            *number = strtoull(argv[++i], NULL, 10);
        else
            bail_out("usage: model_check [--seed N] [--rounds N] [--minutes N] [--trace]");
    }
    servers_init();
    check.clock_us = open_clock();
    check.library = read_library();
    check_one_server(&check, seed, rounds, minutes);
    free(check.library);
    return check_end();
}
