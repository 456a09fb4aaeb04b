#include "runtime/redis/sentinel.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/log.h"
#include "runtime/monotonic.h"
#include "runtime/redis/redis.h"
#include "runtime/redis/redis_error.h"
#include "runtime/redis/resp.h"
#include "runtime/timer.h"

enum {
    POLL_MS = 500,
    FRESH_MS = 3 * POLL_MS, /* an older answer does not count */
    TIMEOUT_MS = 1500, /* to connect, and to answer */
};

/* To one sentinel. */
struct link {
    struct sentinel *sentinel;
    struct topology at;
    struct redis *redis;
    bool asked; /* the answer is on its way */
    uint64_t epoch; /* of the failover that made the answer below true; the higher, the later */
    struct redis_node node;
    uint64_t said_ms; /* when; 0: it said nothing, or it counts no more */
    const char *fault; /* instead; a static sentence */
};

struct sentinel {
    struct topology topology;
    struct redis_node node; /* where the primary is */
    bool known;
    bool silent; /* somebody was told that no sentinel answers */
    uint64_t opened_ms;
    struct timer poll;
    char why[200];
    size_t count;
    struct link links[REDIS_NODES_MAX];
};

/* ---- what they say together ---- */

static bool is_fresh(const struct link *link)
{
    return link->said_ms != 0 && monotonic_ms() - link->said_ms <= FRESH_MS;
}

/* Of those that know of the latest failover one that says what we know already, if there is one. NULL: no sentinel says anything. */
static const struct link *most_recent(const struct sentinel *sentinel)
{
    const struct link *best = NULL;
    for (size_t i = 0; i < sentinel->count; ++i) {
        const struct link *link = &sentinel->links[i];
        if (!is_fresh(link))
            continue;
        bool same = sentinel->known && redis_node_eq(&link->node, &sentinel->node);
        if (best == NULL || link->epoch > best->epoch || (link->epoch == best->epoch && same))
            best = link;
    }
    return best;
}

static void move(struct sentinel *sentinel, const struct link *said)
{
    char primary[272], by[272];
    const struct redis_url *url = sentinel->topology.url;
    bool moved = sentinel->known;
    sentinel->node = said->node;
    sentinel->known = true;
    log_info(moved ? "the sentinels name a new primary" : "the sentinels name the primary",
             log_str("place", redis_node_place(primary, sizeof(primary), url, &said->node)),
             log_str("sentinel", redis_node_place(by, sizeof(by), url, said->at.node)));
    if (moved)
        topology_moved(&sentinel->topology, &sentinel->node);
}

/* Why none can say where the primary is, or NULL while one may still answer. */
static const char *common_fault(const struct sentinel *sentinel)
{
    const char *fault = NULL;
    for (size_t i = 0; i < sentinel->count; ++i) {
        const struct link *link = &sentinel->links[i];
        if (redis_ready(link->redis) && link->fault == NULL)
            return NULL;
        if (link->fault != NULL)
            fault = link->fault;
    }
    return fault;
}

static void judge(struct sentinel *sentinel)
{
    const struct link *best = most_recent(sentinel);
    if (best != NULL && (!sentinel->known || !redis_node_eq(&best->node, &sentinel->node)))
        move(sentinel, best);
    const char *fault = best != NULL ? NULL : common_fault(sentinel);
    if (best != NULL && sentinel->silent)
        topology_moved(&sentinel->topology, &sentinel->node); /* those that wait for their next attempt need not */
    sentinel->silent = sentinel->silent && best == NULL;
    if (best != NULL)
        topology_found(&sentinel->topology, &sentinel->node, NULL);
    else if (fault != NULL)
        topology_found(&sentinel->topology, NULL, fault);
}

/* ---- what one says ---- */

static const char *fault_of(const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_NIL)
        return "the sentinels know no primary of that name";
    if (redis_error_is(reply, "NOPERM "))
        return "the sentinels' user may not ask where the primary is";
    if (redis_error_is(reply, "ERR unknown command"))
        return "a node that REDIS_URL names as a sentinel is not a sentinel";
    return redis_error_down(reply) != NULL ? redis_error_down(reply) : "a sentinel answered without an address";
}

/* What SENTINEL MASTER answers is a list of names and values. Who may not ask is as good as one that knows of no failover. */
static void on_master(void *data, const redisReply *reply, const char *why)
{
    struct link *link = data;
    (void)why;
    link->epoch = 0;
    for (size_t i = 0; reply != NULL && reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2)
        if (slice_eq(resp_text(reply->element[i]), SLICE("config-epoch")))
            link->epoch = strtoull(reply->element[i + 1]->str != NULL ? reply->element[i + 1]->str : "", NULL, 10);
}

static void on_address(void *data, const redisReply *reply, const char *why)
{
    struct link *link = data;
    (void)why;
    link->asked = false;
    link->said_ms = 0;
    if (reply == NULL)
        return;
    bool good = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                redis_node_read(&link->node, resp_text(reply->element[0]), resp_text(reply->element[1]));
    link->fault = good ? NULL : fault_of(reply);
    if (good)
        link->said_ms = monotonic_ms();
    judge(link->sentinel);
}

/* The epoch first: should a failover end between the two, the old one with the new address is the lesser lie, and the next poll has both. */
static void ask(struct link *link)
{
    struct slice name = slice_of(link->sentinel->topology.url->name);
    struct slice master[] = {SLICE("SENTINEL"), SLICE("MASTER"), name};
    struct slice address[] = {SLICE("SENTINEL"), SLICE("GET-MASTER-ADDR-BY-NAME"), name};
    if (!link->asked)
        link->asked =
            redis_command(link->redis, master, 3, on_master, link) && redis_command(link->redis, address, 3, on_address, link);
}

static void on_ready(void *data)
{
    ask(data);
}

static void on_lost(void *data, const char *why)
{
    struct link *link = data;
    (void)why;
    link->said_ms = 0;
    link->fault = NULL;
}

/* ---- the topology ---- */

static const char *late(struct topology *topology)
{
    struct sentinel *sentinel = H2O_STRUCT_FROM_MEMBER(struct sentinel, topology, topology);
    const char *why = NULL;
    for (size_t i = 0; i < sentinel->count && why == NULL; ++i)
        why = redis_why(sentinel->links[i].redis);
    snprintf(sentinel->why, sizeof(sentinel->why), "no sentinel names the primary%s%s", why == NULL ? "" : ": ",
             why == NULL ? "" : why);
    return sentinel->why;
}

static void ask_all(struct sentinel *sentinel)
{
    bool any = monotonic_ms() - sentinel->opened_ms < TIMEOUT_MS;
    for (size_t i = 0; i < sentinel->count; ++i) {
        ask(&sentinel->links[i]);
        any = any || redis_ready(sentinel->links[i].redis);
    }
    sentinel->silent = sentinel->silent || !any;
    if (!any)
        topology_found(&sentinel->topology, NULL, late(&sentinel->topology));
}

static void on_poll(void *data)
{
    struct sentinel *sentinel = data;
    ask_all(sentinel);
    timer_start(&sentinel->poll, POLL_MS);
}

/* Who asks has just found out that something is wrong: what was said before does not serve. */
static void ask_now(struct topology *topology)
{
    ask_all(H2O_STRUCT_FROM_MEMBER(struct sentinel, topology, topology));
}

static void open_link(struct sentinel *sentinel, h2o_loop_t *loop, h2o_multithread_receiver_t *getaddr,
                      const struct redis_node *node)
{
    struct link *link = &sentinel->links[sentinel->count++];
    link->sentinel = sentinel;
    topology_init_node(&link->at, sentinel->topology.url, node, TOPOLOGY_SENTINEL);
    link->redis = redis_open(&(struct redis_options){.loop = loop,
                                                     .getaddr = getaddr,
                                                     .topology = &link->at,
                                                     .name = "sentinel",
                                                     .connect_timeout_ms = TIMEOUT_MS,
                                                     .reply_timeout_ms = TIMEOUT_MS,
                                                     .on_ready = on_ready,
                                                     .on_lost = on_lost,
                                                     .data = link});
}

struct topology *sentinel_open(h2o_loop_t *loop, h2o_multithread_receiver_t *getaddr, const struct redis_url *url)
{
    struct sentinel *sentinel = h2o_mem_alloc(sizeof(*sentinel));
    memset(sentinel, 0, sizeof(*sentinel));
    topology_init_node(&sentinel->topology, url, NULL, TOPOLOGY_PRIMARY);
    sentinel->topology.ask = ask_now;
    sentinel->topology.late = late;
    sentinel->opened_ms = monotonic_ms();
    timer_init(&sentinel->poll, loop, on_poll, sentinel);
    for (size_t i = 0; i < url->node_count; ++i)
        open_link(sentinel, loop, getaddr, &url->nodes[i]);
    timer_start(&sentinel->poll, POLL_MS);
    return &sentinel->topology;
}

void sentinel_close(struct topology *topology)
{
    assert(h2o_linklist_is_empty(&topology->seekers));
    struct sentinel *sentinel = H2O_STRUCT_FROM_MEMBER(struct sentinel, topology, topology);
    for (size_t i = 0; i < sentinel->count; ++i)
        redis_close(sentinel->links[i].redis);
    timer_dispose(&sentinel->poll);
    free(sentinel);
}
