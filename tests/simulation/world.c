#include "tests/simulation/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/counters.h"
#include "gateway/own_events.h"
#include "tests/simulation/bus_inside.h"
#include "tests/simulation/ground.h"
#include "tests/simulation/leaks.h"
#include "tests/simulation/memory.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/plan.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/wire.h"

enum {
    START_US = 1000000, /* of the monotonic clock */
    HEAL_US = 6500000, /* the longest pause between two attempts to connect, and some */
    STEPS_LEAST = 200,
    LAST_US = 12000000, /* for the last events to come */
    CLOSE_US = 3000000,
    CALM = 40, /* worlds that gateways' memory is learned from */
};

struct world_state world;
uint64_t world_steps;
bool trace_on;
static struct world_result *result;
static bool learning; /* in a calm world */
extern const char __executable_start;

bool world_failed(void)
{
    return result->failed;
}

void violation(const char *format, ...)
{
    va_list args;
    if (result->failed)
        return;
    result->failed = true;
    va_start(args, format);
    vsnprintf(result->why, sizeof(result->why), format, args);
    va_end(args);
    trace("VIOLATION: %s", result->why);
}

void trace_line(const char *format, ...)
{
    va_list args;
    printf("%11.6f ", (double)(schedule_now_us() - START_US) / 1e6);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

bool world_young(void)
{
    return world.plan.born_now;
}

void world_refused(const struct client *client, const char *status)
{
    if ((world.plan.faults >> STEP_UNREADABLE & 1) == 0)
        violation("client %u: refused with %s", client->number, status);
}

struct node *world_gateway(void)
{
    uint64_t which = chance_below(&chance_of_order, world.plan.gateways);
    struct node *node = world.gateways[which];
    return node != NULL ? node : world.gateways[world.plan.gateways - 1 - which];
}

/* ---- the beginning ---- */

static void note_births(void)
{
    char key[CHANNEL_KEY_MAX];
    for (uint32_t i = 0; i < world.plan.bus.shards && !world.plan.born_now; ++i) {
        world_born_key(i, key);
        redis_model_reply_free(bus_command(bus.shards[i].primary, (const char *const[]){"SET", key, "1600000000000"}, 3));
    }
}

/* Channels without their order's mattering. */
static void draw_channels(struct client *client)
{
    uint64_t mask = chance_next(&world.chance);
    if (chance_one_in(&world.chance, 2))
        mask = UINT64_C(1) << chance_below(&world.chance, world.plan.channels);
    for (uint32_t i = 0; i < world.plan.channels; ++i)
        if ((mask >> i & 1) != 0 || (i + 1 == world.plan.channels && client->count == 0)) {
            client->names[client->count] = channel_of(i);
            client->channels[client->count++] = i;
            client->tracks[i].followed = true;
        }
}

static void make_clients(void)
{
    client_count = world.plan.clients;
    for (uint32_t i = 0; i < client_count; ++i) {
        struct client *client = &clients[i];
        draw_channels(client);
        client->mode = chance_one_in(&world.chance, 3) ? START_LAST : START_FRESH;
        client->last = (uint32_t)(chance_one_in(&world.chance, 4) ? 1000 : chance_between(&world.chance, 1, 20));
        client->read_most = 1 << 16;
        struct chance more = {world.plan.ends.seed ^ i};
        if (world.plan.earliest && chance_one_in(&more, 2))
            client->mode = START_EARLIEST;
        client->polls = world.plan.polls && !chance_one_in(&more, 3);
        client->polls_only = client->polls && chance_one_in(&more, 2);
        client->end_text = client->count == 1 && (world.plan.ends.seed >> i) % 4 == 0 ? "[DONE]" : NULL;
        client_connect(client, chance_below(&world.chance, world.plan.end_us / 2 + 1));
    }
}

static void begin(uint64_t seed)
{
    plan_draw(&world.plan, seed, learning);
    memset(world.gateways, 0, sizeof(world.gateways));
    world.started = 0;
    world.chance.state = seed ^ 0x1234567;
    chance_of_order.state = seed ^ 0x7654321;
    world_steps = 0;
    for (size_t i = 0; i < METRICS_MAX; ++i)
        metric_set(i, 0);
    schedule_reset(START_US);
    ground_reset(seed ^ 0xabcdef);
    views_reset();
    nodes_reset();
    wires_reset();
    clients_reset();
    oracle_reset(world.plan.channels);
    world.plan.bus.now_us -= START_US;
    bus_open(&world.plan.bus);
    for (uint32_t i = 0; i < world.plan.bus.shards; ++i)
        bus.shards[i].primary->clock_us = (int64_t)world.plan.bus.now_us;
    note_births();
    for (uint32_t i = 0; i < world.plan.gateways; ++i, ++world.started)
        world.gateways[i] = node_start(&world.plan.node);
    make_clients();
}

/* ---- the end ---- */

static void heal(void)
{
    trace("all faults end");
    oracle_healed();
    wires_check();
    wires_notice();
    for (uint32_t i = 0; i < world.plan.bus.shards; ++i) {
        redis_model_out_of_memory(bus.shards[i].primary->model, false);
        bus_up(i, true);
    }
    for (uint32_t i = 0; i < world.plan.channels; ++i) {
        char key[CHANNEL_KEY_MAX];
        size_t n = channel_log(key, channel_of(i));
        for (uint32_t shard = 0; shard < world.plan.bus.shards; ++shard)
            redis_model_unreadable(bus.shards[shard].primary->model, slice_make(key, n), false);
        world_right_type(i);
    }
    for (uint32_t i = 0; i < world.plan.gateways; ++i)
        if (world.gateways[i] == NULL) {
            world.gateways[i] = node_start(&world.plan.node);
            ++world.started;
        }
    for (uint32_t i = 0; i < client_count; ++i) {
        clients[i].read_most = 1 << 16;
        clients[i].read_us = 0;
        if ((world.plan.faults & (UINT64_C(1) << STEP_CLOCK | UINT64_C(1) << STEP_STRANGER)) != 0 && clients[i].count > 1)
            clients[i].polls_only = false; /* ids of a time that is to come bring the same events with each answer */
        if (clients[i].wire != NULL)
            wire_read(clients[i].wire);
        schedule_cancel(&clients[i].connects);
        client_connect(&clients[i], 1000);
    }
}

static void run_until_complete(uint64_t until_us)
{
    while (!world_failed() && schedule_now_us() < until_us && !oracle_complete())
        schedule_run(schedule_now_us() + 50000);
}

static void check_counts(void)
{
    static const size_t rows[] = {COUNT_STREAMS, COUNT_CHANNELS, COUNT_QUEUED_BYTES, COUNT_STREAMS_WAITING};
    static const char *const names[] = {"streams", "channels", "queued bytes", "waiting streams"};
    for (size_t i = 0; i < 4 && (world.plan.faults >> STEP_KILL & 1) == 0; ++i)
        if (metric_own(rows[i]) != 0)
            violation("%lld %s are left when all clients are gone", (long long)metric_own(rows[i]), names[i]);
}

static void check_memory(void)
{
    for (uint32_t i = 0; i < world.plan.gateways; ++i) {
        uint32_t count;
        for (int tries = 0; tries < 200 && !bus_quiet(world.gateways[i]->number); ++tries)
            schedule_run(schedule_now_us() + 7000);
        if (learning)
            leaks_learn(world.gateways[i]->number);
        /* a channel that has moved is remembered at both shards */
        uint32_t more = (world.plan.faults >> STEP_MOVE & 1) != 0 ? CHANNELS : 0;
        const void *from = leaks_find(world.gateways[i]->number, more, &count);
        if (from != NULL)
            violation("gateway %u: %u pieces of memory are left that were allocated at %#lx", world.gateways[i]->number, count,
                      (unsigned long)((const char *)from - (const char *)&__executable_start));
    }
}

static void finish(void)
{
    heal();
    schedule_run(schedule_now_us() + HEAL_US);
    while (world_steps + world.plan.channels < STEPS_LEAST && !world_failed()) {
        world_publish(0, 5, 1);
        schedule_run(schedule_now_us() + 1000);
    }
    for (uint32_t i = 0; i < world.plan.channels; ++i)
        world_publish(i, 5, 1);
    run_until_complete(schedule_now_us() + LAST_US);
    oracle_end();
    if (world_failed())
        return;
    trace("all clients leave");
    for (uint32_t i = 0; i < client_count; ++i) {
        client_leave(&clients[i], false, 1000000000);
        schedule_cancel(&clients[i].connects);
        clients[i].gone = true;
    }
    schedule_run(schedule_now_us() + CLOSE_US);
    check_counts();
    check_memory();
}

static void run(uint64_t seed, const struct world_cut *cut, struct world_result *out);

static void prepare(void)
{
    static bool prepared;
    if (prepared)
        return;
    prepared = true;
    metrics_thread();
    comment_frame(); /* a thread keeps these two for good */
    frame_last_chunk();
    bool traced = trace_on;
    trace_on = false;
    learning = true;
    for (uint64_t i = 0; i < CALM; ++i) {
        struct world_result calm;
        run(UINT64_MAX - i, NULL, &calm);
        if (calm.failed) {
            printf("calm world %u: %s\n", (unsigned)i, calm.why);
            abort();
        }
    }
    learning = false;
    trace_on = traced;
}

void world_run(uint64_t seed, const struct world_cut *cut, struct world_result *out)
{
    prepare();
    run(seed, cut, out);
}

static void run(uint64_t seed, const struct world_cut *cut, struct world_result *out)
{
    memset(out, 0, sizeof(*out));
    result = out;
    memory_begin();
    begin(seed);
    out->planned = world.plan.count;
    for (uint32_t i = 0; i < world.plan.count && !out->failed; ++i) {
        const struct step *step = &world.plan.steps[i];
        schedule_run(START_US + step->at_us);
        if (out->failed || (cut != NULL && cut->out[i]))
            continue;
        if (step->kind != STEP_PUBLISH)
            trace("step %u: %s", i, step_word(step->kind));
        ++world_steps;
        step_take(step);
    }
    if (!out->failed)
        finish();
    out->digest = schedule_digest;
    out->steps = world_steps;
    memory_end();
}
