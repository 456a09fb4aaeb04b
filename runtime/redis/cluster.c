#include "runtime/redis/cluster.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/log.h"
#include "runtime/monotonic.h"
#include "runtime/redis/cluster_view.h"
#include "runtime/redis/redis.h"
#include "runtime/timer.h"

enum {
    POLL_MS = 2000,
    EAGER_POLL_MS = 200, /* while something is moving */
    EAGER_MS = 5000, /* … which it is for so long after the last sign of it */
    REFRESH_MS = 100, /* between two rounds of questions, at least */
    TIMEOUT_MS = 1500, /* to connect, and to answer */
    LINKS_MAX = 16, /* more than REDIS_NODES_MAX */
};

/* To one node that is asked. */
struct link {
    struct cluster *cluster;
    struct redis_node node;
    struct topology at;
    struct redis *redis;
    bool seed; /* REDIS_URL names it */
    bool named; /* … or the cluster does */
    bool asked; /* the answers are on their way */
    struct cluster_view view, coming;
    bool said; /* `view`, on this connection: else it counts no more */
    const char *fault; /* instead; a static sentence */
};

/* One shard. */
struct member {
    struct shard shard;
    struct cluster *cluster;
    struct topology topology;
    struct read_preference preference;
    char id[CLUSTER_ID_MAX]; /* of its primary */
    struct redis_node node; /* where that is */
    bool claimed; /* in the walk of apply(): it has slots */
    struct member *next;
};

struct cluster {
    struct shards shards;
    struct link *links[LINKS_MAX];
    size_t link_count;
    struct cluster_view view; /* what they say together */
    struct member *members;
    size_t orphans; /* slots that nobody has */
    bool known;
    uint64_t opened_ms, refreshed_ms, eager_until_ms;
    bool hurried; /* `poll` will come as soon as it may */
    struct timer poll;
    char why[256];
};

/* ---- what a shard's topologies ask ---- */

/* Why none can say, or NULL while one may still answer. */
static const char *common_fault(const struct cluster *cluster)
{
    const char *fault = NULL;
    for (size_t i = 0; i < cluster->link_count; ++i) {
        const struct link *link = cluster->links[i];
        if (link->fault == NULL && redis_ready(link->redis))
            return NULL;
        fault = link->fault != NULL ? link->fault : fault != NULL ? fault : redis_why(link->redis);
    }
    return fault;
}

static const char *silence(struct cluster *cluster)
{
    const char *why = common_fault(cluster);
    snprintf(cluster->why, sizeof(cluster->why), "no node of the cluster answers with the slot map%s%s", why == NULL ? "" : ": ",
             why == NULL ? "" : why);
    return cluster->why;
}

static void refresh(struct cluster *cluster)
{
    uint64_t since = monotonic_ms() - cluster->refreshed_ms;
    cluster->eager_until_ms = monotonic_ms() + EAGER_MS;
    if (cluster->hurried)
        return;
    cluster->hurried = true;
    timer_start(&cluster->poll, since < REFRESH_MS ? REFRESH_MS - since : 0);
}

/* An answer tells, or a lost connection, that something may have moved. */
static void ask_member(struct topology *topology)
{
    struct member *member = topology->owner;
    refresh(member->cluster);
}

static void ask_reader(struct topology *topology)
{
    struct member *member = topology->owner;
    read_preference_ask(&member->preference);
    refresh(member->cluster);
}

static const char *late(struct topology *topology)
{
    struct member *member = topology->owner;
    return silence(member->cluster);
}

/* ---- the shards ---- */

static const char *place_of(char place[272], const struct cluster *cluster, const struct redis_node *node)
{
    return redis_node_place(place, 272, cluster->shards.options.url, node);
}

static struct member *create_member(struct cluster *cluster, const struct cluster_node *primary)
{
    char place[272];
    struct member *member = h2o_mem_alloc(sizeof(*member));
    *member = (struct member){.cluster = cluster, .node = primary->at, .next = cluster->members};
    memcpy(member->id, primary->id, sizeof(member->id));
    topology_init_node(&member->topology, cluster->shards.options.url, &member->node, TOPOLOGY_PRIMARY);
    read_preference_init(&member->preference, cluster->shards.options.url, &cluster->shards.options.weights);
    member->topology.ask = ask_member;
    member->preference.topology.ask = ask_reader;
    member->topology.late = member->preference.topology.late = late;
    member->topology.doubt = member->preference.topology.doubt = ask_member;
    member->topology.owner = member->preference.topology.owner = member;
    member->shard = (struct shard){.topology = &member->topology, .reading = &member->preference.topology, .primary = member->id};
    cluster->members = member;
    log_info("cluster: new shard", log_str("place", place_of(place, cluster, &member->node)));
    cluster->shards.options.on_shard(cluster->shards.options.data, &member->shard);
    return member;
}

static struct member *member_of_id(const struct cluster *cluster, const char *id)
{
    struct member *member = cluster->members;
    while (member != NULL && strcmp(member->id, id) != 0)
        member = member->next;
    return member;
}

/* The shard whose primary this was not before: one of its slots was another's, who has none left. */
static struct member *heir_of(const struct cluster *cluster, const struct cluster_view *next, uint16_t primary)
{
    for (size_t slot = 0; slot < SLOTS; ++slot) {
        struct shard *shard = cluster->shards.by_slot[slot];
        struct member *member = shard == NULL ? NULL : H2O_STRUCT_FROM_MEMBER(struct member, shard, shard);
        if (next->owner[slot] == primary && member != NULL && !member->claimed)
            return member;
    }
    return NULL;
}

/* Where the member's primary is now: its connections follow. */
static void move_member(struct member *member, const struct cluster_node *primary)
{
    char place[272];
    bool moved = !redis_node_eq(&member->node, &primary->at);
    memcpy(member->id, primary->id, sizeof(member->id));
    member->node = primary->at;
    if (!moved)
        return;
    log_info("the cluster has a new primary for this shard", log_str("place", place_of(place, member->cluster, &member->node)));
    topology_moved(&member->topology, &member->node);
}

/* Whose the primaries' slots are: first those who were primaries before, then those who took over from one, then new ones. */
static void claim(struct cluster *cluster, const struct cluster_view *next, struct member **members)
{
    for (struct member *member = cluster->members; member != NULL; member = member->next)
        member->claimed = false;
    for (size_t i = 0; i < next->count; ++i) {
        members[i] = next->nodes[i].primary != 0 ? NULL : member_of_id(cluster, next->nodes[i].id);
        if (members[i] != NULL)
            members[i]->claimed = true;
    }
    for (size_t i = 0; i < next->count; ++i) {
        if (next->nodes[i].primary != 0)
            continue;
        if (members[i] == NULL)
            members[i] = heir_of(cluster, next, (uint16_t)(i + 1));
        if (members[i] == NULL)
            members[i] = create_member(cluster, &next->nodes[i]);
        members[i]->claimed = true;
    }
}

/* The primary at index i, and its replicas. */
static void set_readers(struct member *member, const struct cluster_view *next, size_t i)
{
    struct redis_node nodes[READING_NODES_MAX] = {next->nodes[i].at};
    size_t count = 1;
    for (size_t j = 0; j < next->count && count < READING_NODES_MAX; ++j)
        if (next->nodes[j].primary == i + 1)
            nodes[count++] = next->nodes[j].at;
    read_preference_set(&member->preference, nodes, count);
}

static void drop_unclaimed(struct cluster *cluster)
{
    char place[272];
    for (struct member **at = &cluster->members, *member; (member = *at) != NULL;) {
        if (member->claimed) {
            at = &member->next;
            continue;
        }
        log_info("cluster: a shard has no slots left", log_str("place", place_of(place, cluster, &member->node)));
        cluster->shards.options.on_gone(cluster->shards.options.data, &member->shard);
        assert(h2o_linklist_is_empty(&member->topology.seekers) && h2o_linklist_is_empty(&member->preference.topology.seekers));
        *at = member->next;
        free(member);
    }
}

static void apply(struct cluster *cluster, const struct cluster_view *next)
{
    struct member **members = h2o_mem_alloc((next->count + 1) * sizeof(*members));
    size_t moved = 0;
    claim(cluster, next, members);
    cluster->orphans = 0;
    for (size_t slot = 0; slot < SLOTS; ++slot) {
        struct shard *shard = next->owner[slot] == 0 ? NULL : &members[next->owner[slot] - 1]->shard;
        moved += cluster->shards.by_slot[slot] != shard;
        cluster->orphans += shard == NULL;
        cluster->shards.by_slot[slot] = shard;
    }
    for (size_t i = 0; i < next->count; ++i) {
        if (next->nodes[i].primary != 0)
            continue;
        move_member(members[i], &next->nodes[i]);
        set_readers(members[i], next, i);
    }
    free(members);
    drop_unclaimed(cluster);
    if (moved != 0) {
        log_info(cluster->known ? "slots have moved" : "the cluster's slots are known", log_int("slots", (int64_t)moved));
        cluster->known = true;
        cluster->shards.options.on_moved(cluster->shards.options.data);
    }
}

/* ---- what the nodes say together ---- */

static void choose_links(struct cluster *cluster);

static size_t views_of(const struct cluster *cluster, const struct cluster_view **out)
{
    size_t count = 0;
    for (size_t i = 0; i < cluster->link_count; ++i) {
        const struct link *link = cluster->links[i];
        if (link->said)
            out[count++] = &link->view;
    }
    return count;
}

/* Who asks where a shard is has found out that something was wrong: it is answered with what was said since. */
static void judge(struct cluster *cluster, bool news)
{
    const struct cluster_view *views[LINKS_MAX];
    size_t count = views_of(cluster, views);
    if (news && count != 0) {
        struct cluster_view *next = h2o_mem_alloc(sizeof(*next));
        memset(next, 0, sizeof(*next));
        cluster_view_merge(next, views, count, &cluster->view);
        if (!cluster_view_eq(next, &cluster->view))
            apply(cluster, next);
        cluster_view_dispose(&cluster->view);
        cluster->view = *next;
        free(next);
        choose_links(cluster);
    }
    for (struct member *member = cluster->members; member != NULL; member = member->next) {
        topology_found(&member->topology, &member->node, NULL);
        read_preference_answer(&member->preference);
    }
}

/* ---- what one says ---- */

static void take_fault(struct link *link, const char *fault)
{
    link->asked = false;
    link->fault = fault;
    link->said = false;
    cluster_view_dispose(&link->coming);
}

static void on_slots(void *data, const redisReply *reply, const char *why)
{
    struct link *link = data;
    (void)why;
    cluster_view_dispose(&link->coming);
    link->fault = reply == NULL ? NULL : cluster_view_read_slots(&link->coming, reply, &link->node);
}

static void on_nodes(void *data, const redisReply *reply, const char *why)
{
    struct link *link = data;
    (void)why;
    const char *fault = link->fault;
    if (fault == NULL && reply != NULL)
        fault = cluster_view_read_epochs(&link->coming, reply);
    if (fault != NULL || reply == NULL) {
        take_fault(link, fault);
        return;
    }
    bool news = !link->said || !cluster_view_eq(&link->view, &link->coming);
    cluster_view_dispose(&link->view);
    link->view = link->coming;
    memset(&link->coming, 0, sizeof(link->coming));
    link->asked = false;
    link->said = true;
    judge(link->cluster, news);
}

static void ask(struct link *link)
{
    struct slice slots[] = {SLICE("CLUSTER"), SLICE("SLOTS")}, nodes[] = {SLICE("CLUSTER"), SLICE("NODES")};
    if (!link->asked)
        link->asked = redis_command(link->redis, slots, 2, on_slots, link) && redis_command(link->redis, nodes, 2, on_nodes, link);
}

static void on_ready(void *data)
{
    ask(data);
}

static void on_lost(void *data, const char *why)
{
    struct link *link = data;
    (void)why;
    take_fault(link, NULL);
}

/* ---- which nodes to ask ---- */

static void open_link(struct cluster *cluster, const struct redis_node *node, bool seed)
{
    const struct shards_options *options = &cluster->shards.options;
    struct link *link = h2o_mem_alloc(sizeof(*link));
    memset(link, 0, sizeof(*link));
    link->cluster = cluster;
    link->node = *node;
    link->seed = seed;
    link->named = true;
    cluster->links[cluster->link_count++] = link;
    topology_init_node(&link->at, options->url, &link->node, TOPOLOGY_NODE);
    link->redis = redis_open(&(struct redis_options){.loop = options->loop,
                                                     .getaddr = options->getaddr,
                                                     .url = options->url,
                                                     .topology = &link->at,
                                                     .name = "cluster",
                                                     .connect_timeout_ms = TIMEOUT_MS,
                                                     .reply_timeout_ms = TIMEOUT_MS,
                                                     .on_ready = on_ready,
                                                     .on_lost = on_lost,
                                                     .data = link});
}

static void close_link(struct cluster *cluster, size_t at)
{
    struct link *link = cluster->links[at];
    cluster->links[at] = cluster->links[--cluster->link_count];
    redis_close(link->redis);
    cluster_view_dispose(&link->view);
    cluster_view_dispose(&link->coming);
    free(link);
}

static void name_node(struct cluster *cluster, const struct redis_node *node)
{
    for (size_t i = 0; i < cluster->link_count; ++i)
        if (redis_node_eq(&cluster->links[i]->node, node)) {
            cluster->links[i]->named = true;
            return;
        }
    if (cluster->link_count < LINKS_MAX)
        open_link(cluster, node, false);
}

/* Those of REDIS_URL always; then primaries, then replicas, as far as there is room. A node that is no longer named and does not answer is no longer asked. */
static void choose_links(struct cluster *cluster)
{
    for (size_t i = 0; i < cluster->link_count; ++i)
        cluster->links[i]->named = cluster->links[i]->seed;
    for (size_t i = 0; i < cluster->view.count; ++i)
        name_node(cluster, &cluster->view.nodes[i].at);
    for (size_t i = 0; i < cluster->link_count; ++i)
        for (size_t j = 0; cluster->links[i]->said && j < cluster->links[i]->view.count; ++j)
            name_node(cluster, &cluster->links[i]->view.nodes[j].at);
    for (size_t i = cluster->link_count; i-- != 0;)
        if (!cluster->links[i]->named && !cluster->links[i]->said)
            close_link(cluster, i);
}

/* ---- when to ask ---- */

static void ask_all(struct cluster *cluster)
{
    uint64_t now = monotonic_ms();
    bool any = now - cluster->opened_ms < TIMEOUT_MS;
    cluster->refreshed_ms = now;
    cluster->hurried = false;
    timer_start(&cluster->poll, now < cluster->eager_until_ms ? EAGER_POLL_MS : POLL_MS);
    for (size_t i = 0; i < cluster->link_count; ++i) {
        ask(cluster->links[i]);
        any = any || redis_ready(cluster->links[i]->redis);
    }
    if (any)
        return;
    for (struct member *member = cluster->members; member != NULL; member = member->next) {
        topology_found(&member->topology, NULL, silence(cluster));
        topology_found(&member->preference.topology, NULL, silence(cluster));
    }
}

static void on_poll(void *data)
{
    ask_all(data);
}

/* ---- the shards' kind ---- */

static const char *why(struct shards *shards)
{
    struct cluster *cluster = H2O_STRUCT_FROM_MEMBER(struct cluster, shards, shards);
    if (!cluster->known)
        return silence(cluster);
    if (cluster->orphans == 0)
        return NULL;
    snprintf(cluster->why, sizeof(cluster->why), "%zu of the cluster's %d slots have no shard", cluster->orphans, SLOTS);
    return cluster->why;
}

static void close_cluster(struct shards *shards)
{
    struct cluster *cluster = H2O_STRUCT_FROM_MEMBER(struct cluster, shards, shards);
    while (cluster->link_count != 0)
        close_link(cluster, cluster->link_count - 1);
    for (struct member *member = cluster->members, *next; member != NULL; member = next) {
        next = member->next;
        assert(h2o_linklist_is_empty(&member->topology.seekers) && h2o_linklist_is_empty(&member->preference.topology.seekers));
        free(member);
    }
    timer_dispose(&cluster->poll);
    cluster_view_dispose(&cluster->view);
    free(cluster->shards.by_slot);
    free(cluster);
}

struct shards *cluster_open(const struct shards_options *options)
{
    struct cluster *cluster = h2o_mem_alloc(sizeof(*cluster));
    memset(cluster, 0, sizeof(*cluster));
    cluster->shards = (struct shards){.options = *options, .why = why, .close = close_cluster};
    cluster->shards.by_slot = h2o_mem_alloc(SLOTS * sizeof(*cluster->shards.by_slot));
    memset(cluster->shards.by_slot, 0, SLOTS * sizeof(*cluster->shards.by_slot));
    cluster->opened_ms = monotonic_ms();
    timer_init(&cluster->poll, options->loop, on_poll, cluster);
    for (size_t i = 0; i < options->url->node_count; ++i)
        open_link(cluster, &options->url->nodes[i], true);
    timer_start(&cluster->poll, POLL_MS);
    return &cluster->shards;
}
