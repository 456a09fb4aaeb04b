/* Slots, shards and sharded pub/sub, against a real node of a cluster that has all slots. (Several nodes: tests/integration/cluster*.test.mjs.) */
#include "proto/bus/channel_slot.h"
#include "proto/bus/publish.h"
#include "runtime/redis/pubsub_commands.h"
#include "runtime/redis/shards_open.h"
#include "runtime/redis/subscribe.h"
#include "runtime/log.h"
#include "tests/unit/redis_server.h"

enum { CHANNELS = 600 };

static void check_slot_numbers(struct server *server)
{
    static const char *const names[] = {"a", "news", "post", "load/17", "user~1@x,y+z.-_", "!nodes", "!canary.0123456789abcdef"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i) {
        redisReply *reply = server_do(server, "CLUSTER KEYSLOT {sse:%s}:log", names[i]);
        check(reply->integer == channel_slot(slice_of(names[i])), "the slot of '%s' is Redis's: %lld", names[i], reply->integer);
        freeReplyObject(reply);
    }
}

/* ---- shards ---- */

struct found {
    struct shards *shards;
    struct shard *shard;
    int added, gone, moved;
};

static void on_shard(void *data, struct shard *shard)
{
    struct found *found = data;
    ++found->added;
    found->shard = shard;
}

static void on_gone(void *data, struct shard *shard)
{
    struct found *found = data;
    (void)shard;
    ++found->gone;
    found->shard = NULL;
}

static void on_moved(void *data)
{
    ++((struct found *)data)->moved;
}

static void open_shards(struct found *found, const struct redis_url *url)
{
    *found = (struct found){.added = 0};
    found->shards = shards_open(&(struct shards_options){.loop = loop,
                                                         .getaddr = &getaddr,
                                                         .url = url,
                                                         .on_shard = on_shard,
                                                         .on_gone = on_gone,
                                                         .on_moved = on_moved,
                                                         .data = found});
}

static void check_shards(struct server *server)
{
    struct redis_url url;
    struct found found;
    open_shards(&found, url_of(&url, "redis-cluster://127.0.0.1:1,localhost:%d", server->port));
    check(found.added == 0 && shards_of(found.shards, 5) == NULL && shards_why(found.shards) != NULL, "nothing is known at first");
    check(run_until(found.moved == 1) && found.added == 1 && shards_of(found.shards, 0) == found.shard &&
              shards_of(found.shards, SLOTS - 1) == found.shard && shards_why(found.shards) == NULL,
          "one shard has all slots");
    server_set(server, "CLUSTER DELSLOTS 7");
    topology_doubt(found.shard->topology);
    check(run_until(found.moved == 2) && shards_of(found.shards, 7) == NULL && shards_of(found.shards, 8) == found.shard,
          "a slot that was taken away is nobody's");
    check(strcmp(shards_why(found.shards), "1 of the cluster's 16384 slots have no shard") == 0, "which is told");
    server_set(server, "CLUSTER DELSLOTSRANGE 0 6 8 16383");
    topology_doubt(found.shard->topology);
    check(run_until(found.gone == 1) && shards_of(found.shards, 8) == NULL, "without slots it is no shard");
    server_set(server, "CLUSTER ADDSLOTSRANGE 0 16383");
    check(run_until(found.added == 2 && found.moved == 4) && shards_why(found.shards) == NULL, "then it is one again");
    shards_close(found.shards);
}

static void check_single(struct server *server)
{
    struct redis_url url;
    struct found found;
    open_shards(&found, url_of(&url, "unix://%s", server->sock));
    char text[64];
    check(found.added == 1 && shards_of(found.shards, 0) == found.shard && shards_of(found.shards, SLOTS - 1) == found.shard &&
              shards_why(found.shards) == NULL &&
              strcmp(shard_sentence(text, sizeof(text), found.shards, found.shard, "why"), "why") == 0,
          "a single Redis is one shard, at once, and has no name");
    shards_close(found.shards);
}

/* ---- sharded pub/sub ---- */

struct seen {
    struct subscribe *subscribe;
    int subscribed, messages, taken, refused, lost;
    intptr_t last; /* number of the last event's channel */
};

static struct seen seen;

static const struct subscription_events channel_events;

/* Of the channel with this number. */
static struct subscription *subscription_of(intptr_t number)
{
    static struct subscription all[10];
    all[number].events = &channel_events;
    return &all[number];
}

static intptr_t number_of(const struct subscription *subscription)
{
    return subscription - subscription_of(0);
}

static void on_subscribed(struct subscription *subscription)
{
    ++seen.subscribed;
    seen.last = number_of(subscription);
}

static void on_message(struct subscription *subscription, struct slice payload)
{
    (void)payload;
    ++seen.messages;
    seen.last = number_of(subscription);
}

static void on_unsubscribed(struct subscription *subscription)
{
    ++seen.taken;
    seen.last = number_of(subscription);
}

static void on_refused(struct subscription *subscription, const char *why)
{
    (void)why;
    ++seen.refused;
    seen.last = number_of(subscription);
}

static void on_lost(void *data, const char *why)
{
    (void)data, (void)why;
    ++seen.lost;
}

static void check_taken_slot(struct server *server)
{
    server_set(server, "CLUSTER DELSLOTS %d", channel_slot(SLICE("a")));
    check(run_until(seen.taken == 1) && seen.last == 1, "a channel whose slot goes is told");
    int messages = seen.messages;
    server_set(server, "SPUBLISH sse:b x");
    check(run_until(seen.messages == messages + 1) && seen.last == 2, "the others go on");
    subscribe_add(seen.subscribe, SLICE("sse:c"), subscription_of(3));
    subscribe_remove(seen.subscribe, SLICE("sse:b"));
    check(run_until(seen.last == 3 && server_listeners(server, "SHARDNUMSUB", "sse:c") == 1 &&
                    server_listeners(server, "SHARDNUMSUB", "sse:b") == 0),
          "can be added, and removed");
    int subscribed = seen.subscribed;
    server_set(server, "CLUSTER ADDSLOTS %d", channel_slot(SLICE("a")));
    check(run_until(seen.subscribed == subscribed + 1) && seen.last == 1, "it is subscribed again when its slot is back");
    server_set(server, "SPUBLISH sse:a x");
    check(run_until(seen.messages == messages + 2) && seen.last == 1, "and heard");
    check(seen.taken == 1 && seen.lost == 0, "on the same connection, told once");
}

/* Removals cross the taking away: which of the answers is whose can't be told, and need not be. */
static void check_crossing(struct server *server)
{
    for (int round = 0; round < 20; ++round) {
        subscribe_remove(seen.subscribe, SLICE("sse:a"));
        h2o_evloop_run(loop, 0);
        server_set(server, "CLUSTER DELSLOTS %d", channel_slot(SLICE("a")));
        if (round % 2 == 0)
            subscribe_add(seen.subscribe, SLICE("sse:a"), subscription_of(1));
        server_set(server, "CLUSTER ADDSLOTS %d", channel_slot(SLICE("a")));
        if (round % 2 != 0)
            subscribe_add(seen.subscribe, SLICE("sse:a"), subscription_of(1));
        int subscribed = seen.subscribed;
        if (!run_until(seen.subscribed > subscribed && server_listeners(server, "SHARDNUMSUB", "sse:a") == 1))
            break;
    }
    int messages = seen.messages;
    server_set(server, "SPUBLISH sse:a x");
    check(run_until(seen.messages == messages + 1) && seen.lost == 0,
          "added, removed and taken away at once, 20 times: it is heard");
}

static const struct subscription_events channel_events = {
    .on_subscribed = on_subscribed, .on_message = on_message, .on_unsubscribed = on_unsubscribed, .on_refused = on_refused};

static void open_subscriber(const struct server *server, const char *login)
{
    static struct redis_url url;
    static struct topology topology;
    struct redis_options options = options_for(url_of(&url, "redis-cluster://%s127.0.0.1:%d", login, server->port));
    topology_init_node(&topology, &url, &url.nodes[0], TOPOLOGY_PRIMARY);
    options.topology = &topology;
    seen = (struct seen){.subscribed = 0};
    seen.subscribe = subscribe_open(&options, &(struct subscribe_events){.on_lost = on_lost});
}

/* One channel that the user has no right to concerns no other one. */
static void check_forbidden(struct server *server)
{
    server_set(server, "ACL SETUSER picky on >pw ~* resetchannels &sse:open* +@all");
    open_subscriber(server, "picky:pw@");
    subscribe_add(seen.subscribe, SLICE("sse:secret"), subscription_of(1));
    subscribe_add(seen.subscribe, SLICE("sse:open1"), subscription_of(2));
    subscribe_add(seen.subscribe, SLICE("sse:open2"), subscription_of(3));
    check(run_until(seen.refused == 1 && seen.subscribed == 2) && seen.lost == 0, "a forbidden channel is refused alone");
    server_set(server, "SPUBLISH sse:open1 x");
    check(run_until(seen.messages == 1) && seen.last == 2, "and the others are heard");
    subscribe_close(seen.subscribe);
}

static void check_subscriber(struct server *server)
{
    open_subscriber(server, "");
    subscribe_add(seen.subscribe, SLICE("sse:a"), subscription_of(1));
    subscribe_add(seen.subscribe, SLICE("sse:b"), subscription_of(2));
    check(run_until(seen.subscribed == 2) && server_listeners(server, "SHARDNUMSUB", "sse:a") == 1 &&
              server_listeners(server, "SHARDNUMSUB", "sse:b") == 1,
          "channels of several slots are subscribed");
    server_set(server, "SPUBLISH sse:a x");
    check(run_until(seen.messages == 1) && seen.last == 1, "SPUBLISH arrives");
    server_set(server, "PUBLISH sse:a x");
    server_set(server, "SPUBLISH sse:b x");
    check(run_until(seen.messages == 2) && seen.last == 2, "PUBLISH does not");
    check_taken_slot(server);
    check_crossing(server);
    for (int i = 0; i < CHANNELS; ++i) {
        char name[24];
        subscribe_add(seen.subscribe, slice_make(name, (size_t)snprintf(name, sizeof(name), "sse:many/%d", i)), subscription_of(9));
    }
    int subscribed = seen.subscribed;
    check(run_until(seen.subscribed == subscribed + CHANNELS), "many at once");
    server_set(server, "CLIENT KILL TYPE pubsub");
    check(run_until(seen.lost == 1 && seen.subscribed == subscribed + 2 * CHANNELS + 2), "and all again after a reconnect");
    subscribe_close(seen.subscribe);
}

/* ---- publishing ---- */

struct answer {
    int calls;
    enum publish_outcome outcome;
    char why[160];
};

static void on_answer(void *data, const struct publish_answer *answer)
{
    struct answer *out = data;
    ++out->calls;
    out->outcome = answer->outcome;
    snprintf(out->why, sizeof(out->why), "%s", answer->why == NULL ? "" : answer->why);
}

/* A node that has just got slots does not serve keys at once. */
static bool is_well(struct server *server)
{
    redisReply *reply = server_do(server, "CLUSTER INFO");
    bool well = strstr(reply->str, "cluster_state:ok") != NULL;
    freeReplyObject(reply);
    return well;
}

static void check_publisher(struct server *server)
{
    struct redis_url url;
    struct redis_options options = options_for(url_of(&url, "redis-cluster://127.0.0.1:%d", server->port));
    struct publish *publish = publish_open(&options, 0);
    struct publish_request request = {.channel = SLICE("p"),
                                      .data = SLICE("x"),
                                      .retry_ms = 6000,
                                      .history_len = 10,
                                      .history_bytes = 1000,
                                      .data_max = 1000,
                                      .history_ttl_s = 60};
    struct answer answer = {0};
    check(run_until(publish_ready(publish)) && publish_serves(publish, SLICE("p")) && run_until(is_well(server)),
          "ready when the shard is");
    publish_send(publish, &request, on_answer, &answer);
    check(run_until(answer.calls == 1) && answer.outcome == PUBLISH_DONE, "published: %s", answer.why);
    long long sharded = server_info(server, "cmdstat_spublish:calls=");
    check(sharded != 0 && server_info(server, "cmdstat_publish:calls=") <= 1, "by SPUBLISH");

    server_set(server, "CLUSTER DELSLOTS %d", channel_slot(SLICE("p")));
    answer = (struct answer){0};
    publish_send(publish, &request, on_answer, &answer);
    check(run_until(answer.calls == 1) && answer.outcome == PUBLISH_BUS_DOWN &&
              strcmp(answer.why, "the Redis cluster is down") == 0,
          "a slot that nobody has any more: '%s'", answer.why);
    check(run_until(!publish_serves(publish, SLICE("p"))) && publish_serves(publish, SLICE("q")) && !publish_ready(publish) &&
              strstr(publish_why(publish), "have no shard") != NULL,
          "which is known soon; others go on");
    server_set(server, "CLUSTER ADDSLOTS %d", channel_slot(SLICE("p")));
    check(run_until(publish_ready(publish)), "until somebody has it");
    publish_send(publish, &request, on_answer, &answer);
    publish_close(publish);
    check(answer.calls == 2 && answer.outcome == PUBLISH_BUS_DOWN, "closing answers what is under way");
}

int main(void)
{
    char bus[8];
    snprintf(bus, sizeof(bus), "%d", free_port());
    const char *config[] = {"--cluster-enabled", "yes", "--cluster-port", bus, NULL};
    struct server server = {.name = "node", .config = config}, single = {.name = "single"};
    log_set_level(LOG_ERROR);
    servers_init();
    server_start(&server);
    server_set(&server, "CLUSTER ADDSLOTSRANGE 0 16383");
    check_slot_numbers(&server);
    check_shards(&server);
    check_subscriber(&server);
    check_forbidden(&server);
    check_publisher(&server);
    server_stop(&server, SIGTERM);
    server_start(&single);
    check_single(&single);
    server_stop(&single, SIGTERM);
    return check_end();
}
