#include "runtime/redis/topology.h"

/* ---- one that does not change ---- */

static void ask_plain(struct topology *topology)
{
    topology_found(topology, topology->node, NULL);
}

static const char *late_plain(struct topology *topology)
{
    (void)topology;
    return "connecting took too long";
}

void topology_init_node(struct topology *topology, const struct redis_url *url, const struct redis_node *node,
                        enum topology_role role)
{
    *topology = (struct topology){.url = url, .role = role, .node = node, .ask = ask_plain, .late = late_plain};
    h2o_linklist_init_anchor(&topology->seekers);
}

/* ---- interface ---- */

void topology_join(struct topology *topology, struct topology_seeker *seeker)
{
    seeker->asking = false;
    h2o_linklist_insert(&topology->seekers, &seeker->link);
}

void topology_leave(struct topology_seeker *seeker)
{
    h2o_linklist_unlink(&seeker->link);
}

void topology_ask(struct topology *topology, struct topology_seeker *seeker)
{
    seeker->asking = true;
    topology->ask(topology);
}

void topology_doubt(struct topology *topology)
{
    if (topology->doubt != NULL)
        topology->doubt(topology);
}

const char *topology_elsewhere(const struct topology *topology)
{
    return topology->url->kind == REDIS_CLUSTER ? "the cluster has a new primary for this shard"
                                                : "the sentinels name a new primary";
}

/* Those whom the call makes ask again are not answered by it. */
void topology_found(struct topology *topology, const struct redis_node *node, const char *why)
{
    h2o_linklist_t asking;
    h2o_linklist_init_anchor(&asking);
    for (h2o_linklist_t *link = topology->seekers.next, *next; link != &topology->seekers; link = next) {
        next = link->next;
        if (!H2O_STRUCT_FROM_MEMBER(struct topology_seeker, link, link)->asking)
            continue;
        h2o_linklist_unlink(link);
        h2o_linklist_insert(&asking, link);
    }
    while (!h2o_linklist_is_empty(&asking)) {
        struct topology_seeker *seeker = H2O_STRUCT_FROM_MEMBER(struct topology_seeker, link, list_take(&asking));
        h2o_linklist_insert(&topology->seekers, &seeker->link);
        seeker->asking = false;
        seeker->on_found(seeker->data, node, why);
    }
}

void topology_moved(struct topology *topology, const struct redis_node *node)
{
    for (h2o_linklist_t *link = topology->seekers.next; link != &topology->seekers; link = link->next) {
        struct topology_seeker *seeker = H2O_STRUCT_FROM_MEMBER(struct topology_seeker, link, link);
        if (!seeker->asking)
            seeker->on_moved(seeker->data, node);
    }
}
