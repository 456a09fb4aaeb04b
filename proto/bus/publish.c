#include "proto/bus/publish.h"

#include "proto/bus/channel_slot.h"
#include <stdlib.h>

#include "proto/bus/marker.h"
#include "proto/bus/publish_shard.h"
#include "proto/channel.h"
#include "runtime/monotonic.h"
#include "runtime/redis/pubsub_commands.h"
#include "runtime/redis/shards_open.h"
#include "runtime/timer.h"

enum {
    AGAIN_MIN_MS = 10, /* before a channel that is being moved is tried again; then twice as long, and so on */
    AGAIN_MAX_MS = 200,
    PATIENCE_MS = 2000, /* … for so long, or half of the time that Redis has to answer */
    WAITING_MAX = 64 << 20, /* bytes of events that may wait so */
};

/* To one shard. */
struct route {
    struct shard *shard;
    struct publish_shard *connection;
    bool fresh; /* the shard came to a bus that was ready, and was not ready itself since: its events may wait */
    struct route *next;
};

struct publish {
    struct redis_options redis;
    unsigned replicas;
    struct shards *shards;
    struct route *routes; /* one a shard */
    bool was_ready;
    h2o_linklist_t waiting; /* to be sent again */
    size_t waiting_bytes;
    struct timer again;
    char why[512];
};

/* ---- again ---- */

static void dispatch(struct publish *publish, struct publish_send *send);

static uint64_t patience_ms(const struct publish *publish)
{
    uint64_t most = publish->redis.reply_timeout_ms / 2;
    return most < PATIENCE_MS ? most : PATIENCE_MS;
}

static void on_again(void *data, struct publish_send *send, const char *why)
{
    struct publish *publish = data;
    uint64_t now = monotonic_ms();
    if (send->refused_ms == 0)
        send->refused_ms = now;
    if (now - send->refused_ms >= patience_ms(publish) || publish->waiting_bytes + send->size > WAITING_MAX) {
        publish_send_fail(send, PUBLISH_BUS_DOWN, why);
        return;
    }
    send->delay_ms = send->delay_ms == 0 ? AGAIN_MIN_MS : send->delay_ms * 2 < AGAIN_MAX_MS ? send->delay_ms * 2 : AGAIN_MAX_MS;
    send->due_ms = now + send->delay_ms;
    h2o_linklist_insert(&publish->waiting, &send->link);
    publish->waiting_bytes += send->size;
    if (!timer_running(&publish->again))
        timer_start(&publish->again, AGAIN_MIN_MS);
}

static void send_due(struct publish *publish, uint64_t now)
{
    h2o_linklist_t before; /* some may have to wait again */
    h2o_linklist_init_anchor(&before);
    h2o_linklist_insert_list(&before, &publish->waiting);
    while (!h2o_linklist_is_empty(&before)) {
        struct publish_send *send = H2O_STRUCT_FROM_MEMBER(struct publish_send, link, list_take(&before));
        if (send->due_ms > now) {
            h2o_linklist_insert(&publish->waiting, &send->link);
            continue;
        }
        publish->waiting_bytes -= send->size;
        dispatch(publish, send);
    }
}

static void on_timer(void *data)
{
    struct publish *publish = data;
    send_due(publish, monotonic_ms());
    if (!h2o_linklist_is_empty(&publish->waiting))
        timer_start(&publish->again, AGAIN_MIN_MS);
}

/* ---- the shards ---- */

static void on_loaded(void *data, struct publish_shard *shard)
{
    struct publish *publish = data;
    char key[CHANNEL_KEY_MAX];
    const struct route *route = publish->routes;
    while (route->connection != shard)
        route = route->next;
    born_key(key, publish->shards, route->shard);
    publish_shard_note_birth(shard, key);
}

static void on_shard(void *data, struct shard *shard)
{
    struct publish *publish = data;
    struct route *route = h2o_mem_alloc(sizeof(*route));
    struct redis_options redis = publish->redis;
    redis.topology = shard->topology;
    *route = (struct route){.shard = shard, .fresh = publish->was_ready, .next = publish->routes};
    route->connection = publish_shard_open(&(struct publish_shard_options){
        .redis = &redis, .replicas = publish->replicas, .on_again = on_again, .on_loaded = on_loaded, .data = publish});
    shard->owner = route;
    publish->routes = route;
}

static void close_route(struct route **at)
{
    struct route *route = *at;
    *at = route->next;
    publish_shard_close(route->connection);
    free(route);
}

static void on_gone(void *data, struct shard *shard)
{
    struct route **at = &((struct publish *)data)->routes;
    while ((*at)->shard != shard)
        at = &(*at)->next;
    close_route(at);
}

static void on_moved(void *data)
{
    send_due(data, UINT64_MAX);
}

static struct route *route_of(const struct publish *publish, uint16_t slot)
{
    const struct shard *shard = shards_of(publish->shards, slot);
    return shard == NULL ? NULL : shard->owner;
}

/* Why it can't be published to now, or NULL. */
static const char *why_not(struct publish *publish, const struct route *route)
{
    const char *why = route == NULL ? shards_why(publish->shards) : publish_shard_why(route->connection);
    if (route == NULL)
        return why != NULL ? why : "no shard has the channel's slot";
    return why == NULL ? NULL : shard_sentence(publish->why, sizeof(publish->why), publish->shards, route->shard, why);
}

static void dispatch(struct publish *publish, struct publish_send *send)
{
    struct route *route = route_of(publish, send->slot);
    const char *why = why_not(publish, route);
    if (route != NULL && why == NULL) {
        route->fresh = false;
        publish_shard_send(route->connection, send);
    } else if (route != NULL && route->fresh) {
        on_again(publish, send, why);
    } else {
        bool unwritable = route != NULL && publish_shard_unwritable(route->connection) != NULL;
        publish_send_fail(send, unwritable ? PUBLISH_UNWRITABLE : PUBLISH_BUS_DOWN, why);
    }
}

/* ---- interface ---- */

struct publish *publish_open(const struct redis_options *options, unsigned replicas)
{
    struct publish *publish = h2o_mem_alloc(sizeof(*publish));
    *publish = (struct publish){.redis = *options, .replicas = replicas};
    h2o_linklist_init_anchor(&publish->waiting);
    timer_init(&publish->again, options->loop, on_timer, publish);
    publish->shards = shards_open(&(struct shards_options){.loop = options->loop,
                                                           .getaddr = options->getaddr,
                                                           .url = options->url,
                                                           .on_shard = on_shard,
                                                           .on_moved = on_moved,
                                                           .on_gone = on_gone,
                                                           .data = publish});
    return publish;
}

void publish_close(struct publish *publish)
{
    while (publish->routes != NULL)
        close_route(&publish->routes);
    while (!h2o_linklist_is_empty(&publish->waiting)) {
        struct publish_send *send = H2O_STRUCT_FROM_MEMBER(struct publish_send, link, list_take(&publish->waiting));
        publish_send_fail(send, PUBLISH_BUS_DOWN, "the publisher is stopping");
    }
    shards_close(publish->shards);
    timer_dispose(&publish->again);
    free(publish);
}

const char *publish_why(struct publish *publish)
{
    const char *why = shards_why(publish->shards);
    for (struct route *route = publish->routes; why == NULL && route != NULL; route = route->next) {
        why = publish_shard_why(route->connection);
        if (why == NULL)
            why = publish_shard_unwritable(route->connection);
        if (why != NULL)
            why = shard_sentence(publish->why, sizeof(publish->why), publish->shards, route->shard, why);
        else
            route->fresh = false;
    }
    publish->was_ready = publish->was_ready || why == NULL;
    return why;
}

bool publish_ready(struct publish *publish)
{
    return publish_why(publish) == NULL;
}

bool publish_serves(struct publish *publish, struct slice channel)
{
    return why_not(publish, route_of(publish, channel_slot(channel))) == NULL;
}

void publish_send(struct publish *publish, const struct publish_request *request, publish_cb cb, void *data)
{
    dispatch(publish, publish_send_create(request, cb, data));
}

void publish_send_many(struct publish *publish, const struct publish_request *request, const struct publish_event *const *events,
                       size_t count, publish_cb cb, void *data)
{
    dispatch(publish, publish_send_create_many(request, events, count, cb, data));
}

void publish_tell(struct publish *publish, struct slice channel, struct slice text)
{
    char name[CHANNEL_KEY_MAX];
    const struct route *route = route_of(publish, channel_slot(channel));
    struct slice argv[] = {pubsub_commands(publish->redis.url)->publish, slice_make(name, channel_pubsub(name, channel)), text};
    if (route != NULL)
        publish_shard_tell(route->connection, argv, 3);
}
