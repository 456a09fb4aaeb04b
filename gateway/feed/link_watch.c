#include "gateway/feed/link_watch.h"

#include <stdlib.h>

#include "runtime/redis/cluster_view.h"
#include "runtime/redis/redis_error.h"
#include "runtime/redis/resp.h"

struct link_watch {
    struct link_watch_options options;
    struct redis *redis; /* to the replica */
    bool asking, again;
    bool known; /* the two below */
    char primary[CLUSTER_ID_MAX];
    long long made; /* create-time of the connection from it */
    const char *why;
};

static void ask(struct link_watch *watch);

/* The primary itself has nothing in between. */
static bool is_direct(const struct link_watch *watch)
{
    const struct shard *shard = watch->options.shard;
    return shard->reading->node != NULL && redis_node_eq(shard->reading->node, shard->topology->node);
}

/* [name, value, …] with direction "from", this node and its create-time; -1: another one. */
static long long made_of(const redisReply *link, struct slice primary)
{
    bool from = false, its = false;
    long long made = -1;
    for (size_t i = 0; link->type == REDIS_REPLY_ARRAY && i + 1 < link->elements; i += 2) {
        struct slice name = resp_text(link->element[i]), text = resp_text(link->element[i + 1]);
        from = from || (slice_eq(name, SLICE("direction")) && slice_eq(text, SLICE("from")));
        its = its || (slice_eq(name, SLICE("node")) && slice_eq(text, primary));
        if (slice_eq(name, SLICE("create-time")) && link->element[i + 1]->type == REDIS_REPLY_INTEGER)
            made = link->element[i + 1]->integer;
    }
    return from && its ? made : -1;
}

/* An answer to a question older than the last one tells nothing of what came in between. */
static void judge(struct link_watch *watch, long long made)
{
    const char *primary = watch->options.shard->primary;
    bool same = watch->known && watch->made == made && strcmp(watch->primary, primary) == 0;
    watch->known = true;
    watch->made = made;
    memcpy(watch->primary, primary, sizeof(watch->primary));
    if (!same)
        watch->options.on_broken(watch->options.data);
    if (!watch->again)
        watch->options.on_good(watch->options.data);
}

static void on_links(void *data, const redisReply *reply, const char *why)
{
    struct link_watch *watch = data;
    long long made = -1;
    (void)why;
    watch->asking = false;
    if (reply == NULL)
        return;
    watch->why =
        redis_error_is(reply, "NOPERM ") ? "the Redis user may not ask for the cluster's links: it needs +cluster|links" : NULL;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements && made == -1; ++i)
        made = made_of(reply->element[i], slice_of(watch->options.shard->primary));
    if (is_direct(watch))
        judge(watch, 0);
    else if (made != -1)
        judge(watch, made);
    else
        watch->known = false; /* none now: the next one is another */
    if (watch->again)
        ask(watch);
}

static void ask(struct link_watch *watch)
{
    struct slice argv[] = {SLICE("CLUSTER"), SLICE("LINKS")};
    watch->again = false;
    watch->asking = redis_command(watch->redis, argv, 2, on_links, watch);
}

struct link_watch *link_watch_open(const struct link_watch_options *options)
{
    struct link_watch *watch = h2o_mem_alloc(sizeof(*watch));
    *watch = (struct link_watch){.options = *options};
    struct redis_options redis = *options->redis;
    redis.topology = options->shard->reading;
    redis.name = "sse-gateway:links";
    redis.on_ready = NULL;
    redis.on_lost = NULL;
    redis.on_push = NULL;
    redis.data = watch;
    watch->redis = redis_open(&redis);
    return watch;
}

void link_watch_close(struct link_watch *watch)
{
    redis_close(watch->redis);
    free(watch);
}

void link_watch_check(struct link_watch *watch)
{
    if (watch->asking)
        watch->again = true;
    else
        ask(watch);
}

void link_watch_forget(struct link_watch *watch)
{
    watch->known = false;
}

const char *link_watch_why(const struct link_watch *watch)
{
    return redis_why(watch->redis) != NULL ? redis_why(watch->redis) : watch->why;
}
