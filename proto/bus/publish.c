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

/* The connection to one shard. */
struct outlet {
    struct shard *at;
    struct publish_shard *shard;
    bool young; /* it came to a bus that was ready, and was not ready itself since: who has an event for it may wait */
    struct outlet *next;
};

struct publish {
    struct redis_options redis;
    unsigned replicas;
    struct shards *shards;
    struct outlet *outlets; /* one a shard */
    bool was_ready;
    h2o_linklist_t waiting; /* to be sent again */
    size_t waiting_bytes;
    struct timer again;
    char why[512];
};

/* ---- again ---- */

static void route(struct publish *publish, struct publish_send *send);

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
    if (now - send->refused_ms >= patience_ms(publish) || publish->waiting_bytes + send->room > WAITING_MAX) {
        publish_send_fail(send, PUBLISH_BUS_DOWN, why);
        return;
    }
    send->delay_ms = send->delay_ms == 0 ? AGAIN_MIN_MS : send->delay_ms * 2 < AGAIN_MAX_MS ? send->delay_ms * 2 : AGAIN_MAX_MS;
    send->due_ms = now + send->delay_ms;
    h2o_linklist_insert(&publish->waiting, &send->link);
    publish->waiting_bytes += send->room;
    if (!timer_running(&publish->again))
        timer_start(&publish->again, AGAIN_MIN_MS);
}

static void send_due(struct publish *publish, uint64_t now)
{
    h2o_linklist_t before; /* some may have to wait again */
    h2o_linklist_init_anchor(&before);
    h2o_linklist_insert_list(&before, &publish->waiting);
    while (!h2o_linklist_is_empty(&before)) {
        struct publish_send *send = H2O_STRUCT_FROM_MEMBER(struct publish_send, link, before.next);
        h2o_linklist_unlink(&send->link);
        if (send->due_ms > now) {
            h2o_linklist_insert(&publish->waiting, &send->link);
            continue;
        }
        publish->waiting_bytes -= send->room;
        route(publish, send);
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
    const struct outlet *outlet = publish->outlets;
    while (outlet->shard != shard)
        outlet = outlet->next;
    born_key(key, publish->shards, outlet->at);
    publish_shard_note_birth(shard, key);
}

static void on_shard(void *data, struct shard *shard)
{
    struct publish *publish = data;
    struct outlet *outlet = h2o_mem_alloc(sizeof(*outlet));
    struct redis_options redis = publish->redis;
    redis.topology = shard->topology;
    *outlet = (struct outlet){.at = shard, .young = publish->was_ready, .next = publish->outlets};
    outlet->shard = publish_shard_open(&(struct publish_shard_options){
        .redis = &redis, .replicas = publish->replicas, .on_again = on_again, .on_loaded = on_loaded, .data = publish});
    shard->owner = outlet;
    publish->outlets = outlet;
}

static void close_outlet(struct outlet **at)
{
    struct outlet *outlet = *at;
    *at = outlet->next;
    publish_shard_close(outlet->shard);
    free(outlet);
}

static void on_gone(void *data, struct shard *shard)
{
    struct outlet **at = &((struct publish *)data)->outlets;
    while ((*at)->at != shard)
        at = &(*at)->next;
    close_outlet(at);
}

static void on_moved(void *data)
{
    send_due(data, UINT64_MAX);
}

static struct outlet *outlet_of(const struct publish *publish, uint16_t slot)
{
    const struct shard *shard = shards_of(publish->shards, slot);
    return shard == NULL ? NULL : shard->owner;
}

/* Why it can't be published to now, or NULL. */
static const char *why_not(struct publish *publish, const struct outlet *outlet)
{
    const char *why = outlet == NULL ? shards_why(publish->shards) : publish_shard_why(outlet->shard);
    if (outlet == NULL)
        return why != NULL ? why : "no shard has the channel's slot";
    return why == NULL ? NULL : shard_sentence(publish->why, sizeof(publish->why), publish->shards, outlet->at, why);
}

static void route(struct publish *publish, struct publish_send *send)
{
    struct outlet *outlet = outlet_of(publish, send->slot);
    const char *why = why_not(publish, outlet);
    if (outlet != NULL && why == NULL) {
        outlet->young = false;
        publish_shard_send(outlet->shard, send);
    } else if (outlet != NULL && outlet->young) {
        on_again(publish, send, why);
    } else {
        bool unwritable = outlet != NULL && publish_shard_unwritable(outlet->shard) != NULL;
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
    while (publish->outlets != NULL)
        close_outlet(&publish->outlets);
    while (!h2o_linklist_is_empty(&publish->waiting)) {
        struct publish_send *send = H2O_STRUCT_FROM_MEMBER(struct publish_send, link, publish->waiting.next);
        h2o_linklist_unlink(&send->link);
        publish_send_fail(send, PUBLISH_BUS_DOWN, "the publisher is stopping");
    }
    shards_close(publish->shards);
    timer_dispose(&publish->again);
    free(publish);
}

const char *publish_why(struct publish *publish)
{
    const char *why = shards_why(publish->shards);
    for (struct outlet *outlet = publish->outlets; why == NULL && outlet != NULL; outlet = outlet->next) {
        why = publish_shard_why(outlet->shard);
        if (why == NULL)
            why = publish_shard_unwritable(outlet->shard);
        if (why != NULL)
            why = shard_sentence(publish->why, sizeof(publish->why), publish->shards, outlet->at, why);
        else
            outlet->young = false;
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
    return why_not(publish, outlet_of(publish, channel_slot(channel))) == NULL;
}

void publish_send(struct publish *publish, const struct publish_request *request, publish_cb cb, void *data)
{
    route(publish, publish_send_create(request, cb, data));
}

void publish_tell(struct publish *publish, struct slice channel, struct slice text)
{
    char name[CHANNEL_KEY_MAX];
    const struct outlet *outlet = outlet_of(publish, channel_slot(channel));
    struct slice argv[] = {pubsub_commands(publish->redis.url)->publish, slice_make(name, channel_pubsub(name, channel)), text};
    if (outlet != NULL)
        publish_shard_tell(outlet->shard, argv, 3);
}
