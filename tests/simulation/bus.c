#include "tests/simulation/bus.h"

#include <stdlib.h>
#include <string.h>

#include "proto/bus/channel_slot.h"
#include "runtime/redis/shards_open.h"
#include "tests/simulation/bus_inside.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/world_memory.h"

struct bus bus;
static struct views all_views[VIEWS];
static struct shard *by_slot[VIEWS][SLOTS];
static bool slots_filled[VIEWS];
static uint16_t slots_of_channels[CHANNELS];

static struct redis_url plain_url = {.kind = REDIS_TCP, .nodes = {{"redis", 6379}}, .node_count = 1};
static struct redis_url cluster_url = {.kind = REDIS_CLUSTER, .nodes = {{"redis", 6379}}, .node_count = 1};

struct slice channel_of(uint32_t channel)
{
    static const char names[CHANNELS] = "abcde";
    return slice_make(&names[channel], 1);
}

/* ---- which shard has what ---- */

static uint32_t first_shard(uint16_t slot)
{
    return !bus.options.cluster || bus.options.shards == 1 || slot < SLOTS / 2 ? 0 : 1;
}

uint32_t bus_shard_of_slot(uint16_t slot)
{
    for (uint32_t i = 0; i < CHANNELS; ++i)
        if (slots_of_channels[i] == slot)
            return bus.home[i];
    return first_shard(slot);
}

uint32_t bus_shard_of(uint32_t channel)
{
    return bus.home[channel];
}

/* ---- servers ---- */

struct redis_model *bus_model(struct server *server)
{
    redis_model_clock(server->model, (uint64_t)((int64_t)schedule_now_us() + server->clock_us));
    return server->model;
}

struct server *bus_primary(uint32_t shard)
{
    return bus.shards[shard].publish_to;
}

static size_t on_publish(void *data, bool sharded, struct slice channel, struct slice payload)
{
    struct server *server = data;
    size_t heard = 0;
    struct message *message = NULL;
    (void)sharded;
    size_t begin = payload.n < sizeof(server->published) ? payload.n : sizeof(server->published) - 1;
    memcpy(server->published, payload.p, begin);
    server->published[begin] = 0;
    for (uint32_t i = 0; i < server->hearing_count; ++i) {
        if (!slice_eq(slice_make(server->hearings[i].name, server->hearings[i].n), channel))
            continue;
        if (message == NULL)
            message = message_make(channel, payload);
        connection_tell(server->hearings[i].redis, message);
        ++heard;
    }
    return heard;
}

static struct server *make_server(uint32_t shard, struct redis_model *model)
{
    struct server *server = world_malloc(sizeof(*server));
    *server = (struct server){.model = model, .shard = (uint16_t)shard, .place = 1, .up = true};
    redis_model_on_publish(model, on_publish, server);
    return server;
}

/* The others answer MOVED for them. */
static void set_slots(uint32_t shard)
{
    struct redis_model *model = bus.shards[shard].primary->model;
    for (uint32_t i = 0; i < CHANNELS && bus.options.cluster; ++i)
        redis_model_slot(model, slots_of_channels[i], bus.home[i] == shard ? REDIS_MODEL_SLOT_HERE : REDIS_MODEL_SLOT_ELSEWHERE,
                         "127.0.0.1:7001");
}

void bus_open(const struct bus_options *options)
{
    bus = (struct bus){.options = *options};
    for (uint32_t i = 0; i < CHANNELS; ++i) {
        slots_of_channels[i] = channel_slot(channel_of(i));
        bus.home[i] = first_shard(slots_of_channels[i]);
    }
    for (uint32_t i = 0; i < options->shards; ++i) {
        struct redis_model *model = redis_model_create(options->now_us, options->seed + i);
        if (options->cluster)
            redis_model_cluster(model);
        bus.shards[i].primary = bus.shards[i].publish_to = make_server(i, model);
    }
    for (uint32_t i = 0; i < options->shards; ++i)
        set_slots(i);
}

const struct redis_url *bus_url(void)
{
    return bus.options.cluster ? &cluster_url : &plain_url;
}

redisReply *bus_command(struct server *server, const char *const *words, uint32_t count)
{
    struct slice argv[8];
    for (uint32_t i = 0; i < count; ++i)
        argv[i] = slice_of(words[i]);
    return redis_model_command(bus_model(server), argv, count);
}

void bus_set_clock(uint32_t shard, int64_t by_us)
{
    redis_model_expire(bus_model(bus.shards[shard].primary)); /* as Redis does all the time */
    bus.shards[shard].primary->clock_us += by_us;
    if (bus.shards[shard].remembered != NULL)
        bus.shards[shard].remembered->clock_us += by_us;
}

/* ---- what gateways believe ---- */

static struct shard *belief(const struct views *views, uint16_t slot)
{
    return &((struct views *)views)->all[bus_shard_of_slot(slot)].shard;
}

struct shards *shards_open(const struct shards_options *options)
{
    uint16_t gateway = thread_now->gateway;
    struct views *views = &all_views[gateway];
    *views = (struct views){.shards = {.options = *options}, .thread = thread_now, .open = true};
    for (uint32_t i = 0; i < bus.options.shards; ++i) {
        struct view *view = &views->all[i];
        view->shard = (struct shard){.topology = &view->topology, .reading = &view->topology, .primary = "primary"};
        view->topology.url = bus_url();
        view->server = bus.shards[i].primary;
        view->gateway = gateway;
        view->number = i;
        options->on_shard(options->data, &view->shard);
    }
    if (!bus.options.cluster) {
        views->shards.all = &views->all[0].shard;
        return &views->shards;
    }
    views->shards.by_slot = by_slot[gateway];
    for (uint32_t slot = 0; slot < SLOTS && !(slots_filled[gateway] && bus.options.shards == 2); ++slot)
        by_slot[gateway][slot] = &views->all[first_shard((uint16_t)slot)].shard;
    slots_filled[gateway] = bus.options.shards == 2;
    for (uint32_t i = 0; i < CHANNELS; ++i)
        by_slot[gateway][slots_of_channels[i]] = belief(views, slots_of_channels[i]);
    return &views->shards;
}

/* The gateway asks where things are, and is told. */
static void look(void *data)
{
    struct views *views = data;
    bool moved = false;
    for (uint32_t i = 0; i < bus.options.shards; ++i)
        if (views->all[i].server != bus.shards[i].primary) {
            views->all[i].server = bus.shards[i].primary;
            connections_moved(&views->all[i]);
        }
    for (uint32_t i = 0; i < CHANNELS && bus.options.cluster; ++i) {
        struct shard **at = &by_slot[views->all[0].gateway][slots_of_channels[i]], *now = belief(views, slots_of_channels[i]);
        moved = moved || *at != now;
        *at = now;
    }
    if (moved)
        views->shards.options.on_moved(views->shards.options.data);
}

/* Within so long. */
static void look_soon(struct views *views, uint64_t late_us)
{
    uint64_t after = chance_below(&chance_of_order, late_us + 1);
    if (!views->open || (schedule_waits(&views->looks) && views->looks_us <= schedule_now_us() + after))
        return;
    views->looks.run = look;
    views->looks.data = views;
    views->looks.on = views->thread;
    views->looks_us = schedule_now_us() + after;
    schedule_at(&views->looks, views->looks_us);
}

void views_doubt(struct view *view)
{
    look_soon(&all_views[view->gateway], 50000);
}

void views_reset(void)
{
    for (int i = 0; i < VIEWS; ++i)
        all_views[i].open = false, all_views[i].looks = (struct due){0};
    connections_reset();
}

void bus_forget(uint16_t gateway)
{
    connections_forget(gateway);
    all_views[gateway].open = false;
    schedule_cancel(&all_views[gateway].looks);
}

/* ---- faults of data ---- */

static void copy_lines(struct server *to, const struct server *from)
{
    for (uint32_t i = 0; i < CHANNELS; ++i) {
        const struct line *line = &from->lines[i];
        to->lines[i] = (struct line){world_malloc((line->count + 1) * sizeof(struct fact *)), line->count, line->count + 1};
        if (line->count != 0)
            memcpy(to->lines[i].facts, line->facts, line->count * sizeof(struct fact *));
    }
}

void bus_remember(uint32_t shard)
{
    struct server *primary = bus.shards[shard].primary;
    if (bus.shards[shard].remembered != NULL)
        return;
    bus_model(primary);
    struct server *server = make_server(shard, redis_model_copy(primary->model));
    server->clock_us = primary->clock_us;
    copy_lines(server, primary);
    bus.shards[shard].remembered = server;
}

bool bus_remembers(uint32_t shard)
{
    return bus.shards[shard].remembered != NULL;
}

static void publishers_follow(void *data)
{
    uint32_t shard = (uint32_t)(uintptr_t)data;
    bus.shards[shard].publish_to = bus.shards[shard].primary;
    for (uint32_t i = 0; i < CHANNELS; ++i)
        if (bus.home[i] == shard)
            oracle_line_changed(bus.shards[shard].primary, i);
}

void bus_take_over(uint32_t shard, bool restart, uint64_t late_us)
{
    bus_remember(shard);
    for (uint32_t i = 0; i < CHANNELS; ++i)
        if (bus.home[i] == shard)
            oracle_line_changes(i);
    struct server *next = bus.shards[shard].remembered, *before = bus.shards[shard].primary;
    bus.shards[shard].remembered = NULL;
    next->up = before->up;
    next->place = before->place + (restart ? 0 : 1);
    bus.shards[shard].primary = next;
    set_slots(shard);
    for (uint32_t i = 0; i < CHANNELS; ++i)
        if (bus.home[i] == shard)
            oracle_line_changed(next, i);
    oracle_data_changed(shard);
    if (restart) {
        before->up = false;
        bus_cut(0, shard, 3, 100000);
    }
    schedule_cancel(&bus.shards[shard].follow);
    bus.shards[shard].follow = (struct due){.run = publishers_follow, .data = (void *)(uintptr_t)shard};
    if (restart)
        publishers_follow((void *)(uintptr_t)shard);
    else
        schedule_after(&bus.shards[shard].follow, chance_below(&chance_of_order, late_us + 1));
    for (int i = 1; i < VIEWS; ++i)
        look_soon(&all_views[i], restart ? 0 : late_us);
}

void bus_up(uint32_t shard, bool up)
{
    bus.shards[shard].primary->up = up;
    if (!up)
        bus_cut(0, shard, 3, 100000);
}

void bus_move(uint32_t channel, uint64_t late_us)
{
    uint32_t from = bus.home[channel], to = 1 - from;
    struct server *old = bus.shards[from].primary, *new = bus.shards[to].primary;
    if (!bus.options.cluster || bus.options.shards != 2)
        return;
    bus_model(old);
    bus_model(new);
    redis_model_migrate(old->model, new->model, slots_of_channels[channel]);
    for (uint32_t i = 0; i < 2; ++i)
        bus.shards[i].remembered = NULL; /* else a failover would have the channel twice */
    new->lines[channel] = old->lines[channel];
    old->lines[channel] = (struct line){NULL, 0, 0};
    bus.home[channel] = (uint8_t)to;
    set_slots(from);
    set_slots(to);
    oracle_moved(channel);
    hearings_taken(old, slots_of_channels[channel]);
    for (int i = 1; i < VIEWS; ++i)
        look_soon(&all_views[i], late_us);
}
