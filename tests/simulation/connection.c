/* runtime/redis/redis.h over a model of the network: see bus.h. Commands go to a server in order, each executed when it arrives; answers and messages come back in order. */
#include <assert.h>
#include <stdio.h>

#include "runtime/redis/redis.h"
#include "runtime/redis/resp.h"
#include "runtime/redis/slot.h"
#include "tests/simulation/bus_inside.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/world.h"
#include "tests/simulation/world_memory.h"

enum { BACKOFF_MIN_MS = 50, BACKOFF_MAX_MS = 5000, STEADY_MS = 10000 };

enum link_state { WAITING, DIALING, READY, DROPPING };

struct message {
    uint32_t refs;
    struct slice channel, payload;
};

/* Not answered yet. */
struct command {
    struct command *next;
    redis_reply_cb cb;
    void *data;
    bool push, loose;
    uint64_t at_us; /* when it is at the server */
    size_t argc;
    struct slice argv[];
};

/* On its way back. */
struct parcel {
    struct parcel *next;
    enum { ANSWER, MESSAGE, CONFIRMED, TAKEN, MOVED, NOTHING } kind;
    bool ends; /* it is the last answer to its command */
    uint64_t at_us;
    redisReply *reply; /* ANSWER */
    struct message *message; /* MESSAGE; of CONFIRMED and TAKEN its channel alone */
};

struct redis {
    struct redis_options options;
    enum link_state state;
    struct view *view;
    struct server *server; /* NULL: none */
    bool cut; /* the other end has let go; this one does not know yet */
    bool subscriber;
    uint32_t place; /* of the server that it was ready at last; 0: none */
    bool moved; /* … which is another one than the time before */
    const char *why;
    uint64_t backoff_ms, ready_ms;
    struct command *oldest, **newest; /* not answered */
    struct command *next_there; /* of these, not executed */
    struct parcel *first, **last;
    struct due there, here, clock, end;
    uint64_t there_us, here_us; /* nothing is there or here before */
    unsigned walking;
    struct redis *next;
    uint32_t number;
};

static uint64_t delay_us(void)
{
    uint64_t most = bus.options.delay_us;
    return chance_below(&chance_of_order, 64) == 0 ? chance_below(&chance_of_order, most * 20 + 1)
                                                   : chance_below(&chance_of_order, most + 1);
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

struct message *message_make(struct slice channel, struct slice payload)
{
    struct message *message = world_malloc(sizeof(*message) + channel.n + payload.n);
    char *bytes = (char *)(message + 1);
    memcpy(bytes, channel.p, channel.n);
    if (payload.n != 0)
        memcpy(bytes + channel.n, payload.p, payload.n);
    *message = (struct message){0, slice_make(bytes, channel.n), slice_make(bytes + channel.n, payload.n)};
    return message;
}

static void free_parcel(struct parcel *parcel)
{
    if (parcel->reply != NULL)
        redis_model_reply_free(parcel->reply);
    if (parcel->message != NULL && --parcel->message->refs == 0)
        free(parcel->message);
    free(parcel);
}

/* ---- the way back ---- */

static void send_back(struct redis *redis, struct parcel what)
{
    if (redis->cut)
        return;
    struct parcel *parcel = world_malloc(sizeof(*parcel));
    *parcel = what;
    if (parcel->message != NULL)
        ++parcel->message->refs;
    parcel->at_us = redis->here_us = later(redis->here_us, schedule_now_us() + delay_us());
    *redis->last = parcel;
    redis->last = &parcel->next;
    if (!schedule_waits(&redis->here))
        schedule_at(&redis->here, parcel->at_us);
}

void connection_tell(struct redis *redis, struct message *message)
{
    send_back(redis, (struct parcel){.kind = MESSAGE, .message = message});
}

/* ---- the server's end ---- */

static void unhear(struct server *server, uint32_t i)
{
    server->hearings[i] = server->hearings[--server->hearing_count];
}

static void unhear_all(struct redis *redis)
{
    struct server *server = redis->server;
    for (uint32_t i = 0; server != NULL && redis->subscriber && i < server->hearing_count;)
        if (server->hearings[i].redis == redis)
            unhear(server, i);
        else
            ++i;
}

static void hear(struct redis *redis, struct slice name)
{
    struct server *server = redis->server;
    for (uint32_t i = 0; i < server->hearing_count; ++i)
        if (server->hearings[i].redis == redis && slice_eq(slice_make(server->hearings[i].name, server->hearings[i].n), name))
            return;
    if (server->hearing_count == server->hearing_room) {
        uint32_t room = server->hearing_room == 0 ? 16 : server->hearing_room * 2;
        struct hearing *hearings = world_malloc(room * sizeof(*hearings));
        if (server->hearing_count != 0)
            memcpy(hearings, server->hearings, server->hearing_count * sizeof(*hearings));
        free(server->hearings);
        server->hearings = hearings;
        server->hearing_room = room;
    }
    struct hearing *hearing = &server->hearings[server->hearing_count++];
    hearing->redis = redis;
    hearing->slot = bus.options.cluster ? slot_of(name) : 0;
    hearing->n = (uint16_t)name.n;
    memcpy(hearing->name, name.p, name.n);
}

void hearings_taken(struct server *server, uint16_t slot)
{
    for (uint32_t i = 0; i < server->hearing_count;) {
        struct hearing *hearing = &server->hearings[i];
        if (hearing->slot != slot) {
            ++i;
            continue;
        }
        struct message *message = message_make(slice_make(hearing->name, hearing->n), SLICE(""));
        send_back(hearing->redis, (struct parcel){.kind = TAKEN, .message = message});
        unhear(server, i);
    }
}

static bool is_elsewhere(const struct redis *redis, struct slice name)
{
    return bus.options.cluster && bus_shard_of_slot(slot_of(name)) != redis->server->shard;
}

static void subscribe(struct redis *redis, const struct command *command)
{
    if (is_elsewhere(redis, command->argv[1])) {
        send_back(redis, (struct parcel){.kind = MOVED, .ends = true});
        return;
    }
    for (size_t i = 1; i < command->argc; ++i) {
        hear(redis, command->argv[i]);
        send_back(redis, (struct parcel){.kind = CONFIRMED,
                                         .ends = i + 1 == command->argc,
                                         .message = message_make(command->argv[i], SLICE(""))});
    }
}

static void unsubscribe(struct redis *redis, const struct command *command)
{
    struct server *server = redis->server;
    if (is_elsewhere(redis, command->argv[1])) {
        send_back(redis, (struct parcel){.kind = NOTHING, .ends = true}); /* an error, which is of no interest */
        return;
    }
    for (size_t i = 1; i < command->argc; ++i) {
        for (uint32_t at = 0; at < server->hearing_count;)
            if (server->hearings[at].redis == redis &&
                slice_eq(slice_make(server->hearings[at].name, server->hearings[at].n), command->argv[i]))
                unhear(server, at);
            else
                ++at;
        send_back(redis, (struct parcel){
                             .kind = TAKEN, .ends = i + 1 == command->argc, .message = message_make(command->argv[i], SLICE(""))});
    }
}

static void execute(struct redis *redis, const struct command *command)
{
    static const struct slice word = {"UNSUBSCRIBE", 11}, sharded = {"SUNSUBSCRIBE", 12};
    ++world_steps;
    if (slice_eq(command->argv[0], word) || slice_eq(command->argv[0], sharded)) {
        unsubscribe(redis, command);
    } else if (command->push) {
        subscribe(redis, command);
    } else {
        redisReply *reply = redis_model_command(bus_model(redis->server), command->argv, command->argc);
        send_back(redis, (struct parcel){.kind = ANSWER, .ends = true, .reply = reply});
    }
}

static void on_there(void *data)
{
    struct redis *redis = data;
    while (redis->next_there != NULL && redis->next_there->at_us <= schedule_now_us() && !redis->cut) {
        struct command *command = redis->next_there;
        redis->next_there = command->next;
        execute(redis, command);
    }
    if (redis->next_there != NULL && !redis->cut)
        schedule_at(&redis->there, redis->next_there->at_us);
}

/* ---- losing it ---- */

static void on_clock(void *data);

static void call_back(struct redis *redis, struct command *command, const redisReply *reply, const char *why)
{
    ++redis->walking;
    if (!command->push && command->cb != NULL)
        command->cb(command->data, reply, why);
    --redis->walking;
    free(command);
}

static struct command *take_oldest(struct redis *redis)
{
    struct command *command = redis->oldest;
    redis->oldest = command->next;
    if (redis->oldest == NULL)
        redis->newest = &redis->oldest;
    return command;
}

static void hang_up(struct redis *redis)
{
    unhear_all(redis);
    redis->server = NULL;
    redis->cut = false;
    while (redis->first != NULL) {
        struct parcel *parcel = redis->first;
        redis->first = parcel->next;
        free_parcel(parcel);
    }
    redis->last = &redis->first;
    redis->next_there = NULL;
    schedule_cancel(&redis->there);
    schedule_cancel(&redis->here);
    schedule_cancel(&redis->clock);
    schedule_cancel(&redis->end);
}

static void fail_commands(struct redis *redis, const char *why)
{
    while (redis->oldest != NULL)
        call_back(redis, take_oldest(redis), NULL, why);
}

static void lose(struct redis *redis, const char *why)
{
    uint64_t ready_ms = redis->ready_ms, now_ms = schedule_now_us() / 1000;
    redis->why = why;
    redis->ready_ms = 0;
    hang_up(redis);
    redis->state = WAITING;
    trace("gateway %u: %s to shard %u lost: %s", redis->view->gateway, redis->options.name, redis->view->number, why);
    if (ready_ms != 0 && now_ms - ready_ms >= STEADY_MS)
        redis->backoff_ms = BACKOFF_MIN_MS;
    schedule_after(&redis->clock, (redis->backoff_ms / 2 + chance_below(&chance_of_order, redis->backoff_ms / 2 + 1)) * 1000);
    redis->backoff_ms = redis->backoff_ms * 2 < BACKOFF_MAX_MS ? redis->backoff_ms * 2 : BACKOFF_MAX_MS;
    fail_commands(redis, why);
    if (ready_ms != 0 && redis->options.on_lost != NULL) {
        ++redis->walking;
        redis->options.on_lost(redis->options.data, why);
        --redis->walking;
    }
}

static void on_end(void *data)
{
    struct redis *redis = data;
    if (redis->state != WAITING && redis->state != DIALING)
        lose(redis, redis->why);
}

void redis_drop(struct redis *redis, const char *why)
{
    if (redis->state != READY)
        return;
    redis->state = DROPPING;
    redis->why = why;
    schedule_after(&redis->end, 0);
}

/* The other end goes: of what is on its way a part comes, and then the end is noticed. */
static void cut(struct redis *redis, uint64_t notice_us)
{
    uint64_t keep = chance_below(&chance_of_order, 8), at = schedule_now_us() + chance_below(&chance_of_order, notice_us + 1);
    if (redis->state != READY || redis->cut)
        return;
    unhear_all(redis);
    redis->cut = true;
    redis->why = "Redis closed the connection";
    struct parcel **end = &redis->first;
    for (; *end != NULL && keep != 0; --keep)
        end = &(*end)->next;
    while (*end != NULL) {
        struct parcel *parcel = *end;
        *end = parcel->next;
        free_parcel(parcel);
    }
    redis->last = end;
    if (redis->first == NULL)
        schedule_cancel(&redis->here);
    schedule_at(&redis->end, later(at, redis->first == NULL ? 0 : redis->here_us));
}

/* ---- what comes ---- */

static void push(struct redis *redis, const redisReply *reply)
{
    ++redis->walking;
    redis->options.on_push(redis->options.data, reply);
    --redis->walking;
}

static void push_words(struct redis *redis, struct slice kind, struct slice name, const struct slice *payload)
{
    redisReply parts[3] = {{.type = REDIS_REPLY_STRING, .str = (char *)kind.p, .len = kind.n},
                           {.type = REDIS_REPLY_STRING, .str = (char *)name.p, .len = name.n},
                           {.type = REDIS_REPLY_INTEGER, .integer = 1}};
    redisReply *elements[3] = {&parts[0], &parts[1], &parts[2]};
    if (payload != NULL)
        parts[2] = (redisReply){.type = REDIS_REPLY_STRING, .str = (char *)payload->p, .len = payload->n};
    push(redis, &(redisReply){.type = REDIS_REPLY_ARRAY, .elements = 3, .element = elements});
}

static bool is_error(const redisReply *reply, const char *word)
{
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, word, strlen(word)) == 0;
}

static void take_answer(struct redis *redis, const redisReply *reply)
{
    call_back(redis, take_oldest(redis), reply, NULL);
    if (is_error(reply, "MOVED "))
        views_doubt(redis->view);
}

static void take_parcel(struct redis *redis, const struct parcel *parcel)
{
    static const char moved[] = "MOVED 1 127.0.0.1:7001";
    if (parcel->kind == ANSWER) {
        take_answer(redis, parcel->reply);
        return;
    }
    if (parcel->ends)
        free(take_oldest(redis));
    switch (parcel->kind) {
    case CONFIRMED:
        push_words(redis, bus.options.cluster ? SLICE("ssubscribe") : SLICE("subscribe"), parcel->message->channel, NULL);
        break;
    case TAKEN:
        push_words(redis, bus.options.cluster ? SLICE("sunsubscribe") : SLICE("unsubscribe"), parcel->message->channel, NULL);
        break;
    case MESSAGE:
        push_words(redis, bus.options.cluster ? SLICE("smessage") : SLICE("message"), parcel->message->channel,
                   &parcel->message->payload);
        break;
    case MOVED:
        push(redis, &(redisReply){.type = REDIS_REPLY_ERROR, .str = (char *)moved, .len = sizeof(moved) - 1});
        views_doubt(redis->view);
        break;
    case ANSWER:
    case NOTHING:
        break;
    }
}

static void on_here(void *data)
{
    struct redis *redis = data;
    while (redis->first != NULL && redis->first->at_us <= schedule_now_us() && redis->state == READY) {
        struct parcel *parcel = redis->first;
        redis->first = parcel->next;
        if (redis->first == NULL)
            redis->last = &redis->first;
        ++world_steps;
        take_parcel(redis, parcel);
        free_parcel(parcel);
    }
    if (redis->first != NULL && redis->state == READY)
        schedule_at(&redis->here, redis->first->at_us);
}

/* ---- connecting ---- */

static uint64_t connects_ms[VIEWS][SHARDS][CONNECTS]; /* the last first */

void connections_reset(void)
{
    memset(connects_ms, 0, sizeof(connects_ms));
}

static void note_connect(const struct redis *redis)
{
    uint64_t *last = connects_ms[redis->view->gateway][redis->view->number];
    memmove(last + 1, last, (CONNECTS - 1) * sizeof(*last));
    last[0] = (uint64_t)((int64_t)schedule_now_us() + redis->server->clock_us) / 1000;
}

uint64_t bus_connected_ms(uint16_t gateway, uint32_t shard, uint32_t nth)
{
    return connects_ms[gateway][shard][nth];
}

static void become_ready(struct redis *redis)
{
    redis->state = READY;
    redis->server = redis->view->server;
    redis->moved = redis->place != 0 && redis->place != redis->server->place;
    redis->place = redis->server->place;
    redis->ready_ms = schedule_now_us() / 1000 == 0 ? 1 : schedule_now_us() / 1000;
    redis->there_us = redis->here_us = 0;
    if (!redis->subscriber && redis->moved)
        note_connect(redis);
    trace("gateway %u: %s to shard %u ready", redis->view->gateway, redis->options.name, redis->view->number);
    if (redis->options.on_ready != NULL)
        redis->options.on_ready(redis->options.data);
}

static void on_clock(void *data)
{
    struct redis *redis = data;
    if (redis->state == WAITING) {
        redis->state = DIALING;
        schedule_after(&redis->clock, 100 + delay_us() * 3);
    } else if (redis->state == DIALING && redis->view->server->up) {
        become_ready(redis);
    } else if (redis->state == DIALING) {
        lose(redis, "connection refused");
    }
}

static void on_elsewhere(struct redis *redis)
{
    redis->backoff_ms = BACKOFF_MIN_MS;
    if (redis->state == WAITING)
        schedule_after(&redis->clock, 1000);
    else if (redis->state == DIALING)
        lose(redis, "Redis is elsewhere");
    else
        redis_drop(redis, "Redis is elsewhere");
}

void connections_moved(const struct view *view)
{
    for (struct redis *redis = bus.connections; redis != NULL; redis = redis->next)
        if (redis->view == view && redis->server != view->server)
            on_elsewhere(redis);
}

/* ---- interface ---- */

struct redis *redis_open(const struct redis_options *options)
{
    struct view *view = H2O_STRUCT_FROM_MEMBER(struct view, topology, options->topology);
    struct redis *redis = world_malloc(sizeof(*redis));
    *redis = (struct redis){.options = *options,
                            .state = DIALING,
                            .view = view,
                            .why = "not connected to Redis yet",
                            .backoff_ms = BACKOFF_MIN_MS,
                            .subscriber = options->on_push != NULL,
                            .next = bus.connections};
    bus.connections = redis;
    redis->newest = &redis->oldest;
    redis->last = &redis->first;
    redis->there = (struct due){.run = on_there, .data = redis};
    redis->here = (struct due){.run = on_here, .data = redis, .on = thread_now};
    redis->clock = (struct due){.run = on_clock, .data = redis, .on = thread_now};
    redis->end = (struct due){.run = on_end, .data = redis, .on = thread_now};
    schedule_after(&redis->clock, 100 + delay_us() * 3);
    return redis;
}

void redis_close(struct redis *redis)
{
    struct redis **at = &bus.connections;
    assert(redis->walking == 0);
    hang_up(redis);
    redis->state = WAITING;
    fail_commands(redis, "the connection to Redis was closed");
    while (*at != redis)
        at = &(*at)->next;
    *at = redis->next;
    free(redis);
}

bool redis_ready(const struct redis *redis)
{
    return redis->state == READY;
}

bool redis_moved(const struct redis *redis)
{
    return redis->moved;
}

const char *redis_why(const struct redis *redis)
{
    return redis->state == READY ? NULL : redis->why;
}

static bool send_command(struct redis *redis, const struct slice *argv, size_t argc, struct command what)
{
    size_t bytes = 0;
    if (redis->state != READY)
        return false;
    for (size_t i = 0; i < argc; ++i)
        bytes += argv[i].n;
    struct command *command = world_malloc(sizeof(*command) + argc * sizeof(argv[0]) + bytes);
    char *at = (char *)&command->argv[argc];
    *command = what;
    command->argc = argc;
    for (size_t i = 0; i < argc; ++i) {
        memcpy(at, argv[i].p, argv[i].n);
        command->argv[i] = slice_make(at, argv[i].n);
        at += argv[i].n;
    }
    command->at_us = redis->there_us = later(redis->there_us, schedule_now_us() + delay_us());
    *redis->newest = command;
    redis->newest = &command->next;
    if (redis->next_there == NULL)
        redis->next_there = command;
    if (!schedule_waits(&redis->there))
        schedule_at(&redis->there, redis->next_there->at_us);
    return true;
}

bool redis_command(struct redis *redis, const struct slice *argv, size_t argc, redis_reply_cb cb, void *data)
{
    return send_command(redis, argv, argc, (struct command){.cb = cb, .data = data});
}

bool redis_push_command(struct redis *redis, const struct slice *argv, size_t argc)
{
    return send_command(redis, argv, argc, (struct command){.push = true});
}

bool redis_push_loose(struct redis *redis, const struct slice *argv, size_t argc)
{
    return send_command(redis, argv, argc, (struct command){.push = true, .loose = true});
}

/* Only the log tells it. */
void redis_proven(struct redis *redis)
{
    (void)redis;
}

void redis_doubt(struct redis *redis)
{
    views_doubt(redis->view);
}

/* ---- faults ---- */

static bool is_meant(const struct redis *redis, uint16_t gateway, uint32_t shard, unsigned which)
{
    return (gateway == 0 || redis->view->gateway == gateway) && (shard == SHARDS || redis->view->number == shard) &&
           (which & (redis->subscriber ? 2u : 1u)) != 0;
}

void bus_cut(uint16_t gateway, uint32_t shard, unsigned which, uint64_t notice_us)
{
    for (struct redis *redis = bus.connections; redis != NULL; redis = redis->next)
        if (is_meant(redis, gateway, shard, which))
            cut(redis, notice_us);
}

void bus_stall(uint16_t gateway, uint32_t shard, unsigned which, uint64_t us)
{
    for (struct redis *redis = bus.connections; redis != NULL; redis = redis->next)
        if (is_meant(redis, gateway, shard, which))
            redis->here_us = redis->there_us = later(redis->here_us, schedule_now_us() + us);
}

void connections_forget(uint16_t gateway)
{
    for (struct redis **at = &bus.connections; *at != NULL;) {
        struct redis *redis = *at;
        if (redis->view->gateway != gateway) {
            at = &redis->next;
            continue;
        }
        hang_up(redis);
        *at = redis->next;
    }
}

bool bus_quiet(uint16_t gateway)
{
    for (const struct redis *redis = bus.connections; redis != NULL; redis = redis->next)
        if (redis->view->gateway == gateway && (redis->state != READY || redis->oldest != NULL || redis->first != NULL))
            return false;
    return true;
}
