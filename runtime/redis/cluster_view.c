#include "runtime/redis/cluster_view.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/digits.h"
#include "runtime/h2o.h"
#include "runtime/redis/redis_error.h"
#include "runtime/redis/resp.h"

static const char no_map[] = "a node of the cluster did not answer with the slot map";

void cluster_view_dispose(struct cluster_view *view)
{
    free(view->nodes);
    memset(view, 0, sizeof(*view));
}

/* 1 + its index; 0: there is none of that id. The newest first: a node's ranges often follow each other. */
static uint16_t find(const struct cluster_view *view, struct slice id)
{
    for (size_t i = view->count; i != 0; --i)
        if (slice_eq(slice_of(view->nodes[i - 1].id), id))
            return (uint16_t)i;
    return 0;
}

static uint16_t add(struct cluster_view *view, const struct cluster_node *node)
{
    if (view->count % 16 == 0)
        view->nodes = h2o_mem_realloc(view->nodes, (view->count + 16) * sizeof(*view->nodes));
    view->nodes[view->count] = *node;
    return (uint16_t)++view->count;
}

/* [endpoint, port, id, …]: an endpoint that is absent, "" or "?" is the host that was asked. 1 + its index; 0: it is none, or too many. */
static uint16_t read_node(struct cluster_view *out, const redisReply *reply, const struct redis_node *asked)
{
    struct cluster_node node = {.epoch = 0};
    char port[24];
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 || reply->element[1]->type != REDIS_REPLY_INTEGER)
        return 0;
    struct slice host = resp_text(reply->element[0]), id = resp_text(reply->element[2]);
    uint16_t known = find(out, id);
    if (known != 0)
        return known;
    if (host.n == 0 || slice_eq(host, SLICE("?")))
        host = slice_of(asked->host);
    int digits = snprintf(port, sizeof(port), "%lld", reply->element[1]->integer);
    if (id.n == 0 || id.n >= sizeof(node.id) || memchr(id.p, 0, id.n) != NULL || out->count == CLUSTER_NODES_MAX ||
        !redis_node_read(&node.at, host, slice_make(port, (size_t)digits)))
        return 0;
    memcpy(node.id, id.p, id.n);
    return add(out, &node);
}

/* [first slot, last slot, primary, replica…] */
static bool read_range(struct cluster_view *out, const redisReply *range, const struct redis_node *asked)
{
    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3 || range->element[0]->type != REDIS_REPLY_INTEGER ||
        range->element[1]->type != REDIS_REPLY_INTEGER)
        return false;
    long long first = range->element[0]->integer, last = range->element[1]->integer;
    uint16_t owner = read_node(out, range->element[2], asked);
    if (first < 0 || first > last || last >= SLOTS || owner == 0)
        return false;
    for (long long slot = first; slot <= last; ++slot)
        out->owner[slot] = owner;
    for (size_t i = 3; i < range->elements; ++i) {
        uint16_t replica = read_node(out, range->element[i], asked);
        if (replica == 0)
            return false;
        if (replica != owner)
            out->nodes[replica - 1].primary = owner;
    }
    return true;
}

const char *cluster_view_read_slots(struct cluster_view *out, const redisReply *reply, const struct redis_node *asked)
{
    if (redis_error_is(reply, "NOPERM "))
        return "the Redis user may not read the slot map: it needs +cluster|slots and +cluster|nodes";
    if (reply->type != REDIS_REPLY_ARRAY)
        return redis_error_down(reply) != NULL ? redis_error_down(reply) : no_map;
    for (size_t i = 0; i < reply->elements; ++i)
        if (!read_range(out, reply->element[i], asked))
            return no_map;
    return NULL;
}

/* id, address, flags, primary, ping, pong, config epoch, … */
static void read_line(struct cluster_view *view, struct slice line)
{
    struct slice fields[7];
    for (size_t i = 0; i < 7; ++i)
        fields[i] = slice_split(&line, ' ');
    uint16_t node = find(view, fields[0]);
    if (node == 0)
        return;
    digits_decimal(&view->nodes[node - 1].epoch, fields[6], UINT64_MAX);
    if (slice_starts(fields[2], SLICE("myself")))
        view->self = node;
}

const char *cluster_view_read_epochs(struct cluster_view *view, const redisReply *reply)
{
    struct slice rest = resp_text(reply);
    if (redis_error_is(reply, "NOPERM "))
        return "the Redis user may not read the slot map: it needs +cluster|slots and +cluster|nodes";
    if (rest.n == 0)
        return redis_error_down(reply) != NULL ? redis_error_down(reply) : no_map;
    while (rest.p != NULL)
        read_line(view, slice_split(&rest, '\n'));
    return NULL;
}

static bool node_eq(const struct cluster_node *a, const struct cluster_node *b)
{
    return a->epoch == b->epoch && a->primary == b->primary && strcmp(a->id, b->id) == 0 && redis_node_eq(&a->at, &b->at);
}

bool cluster_view_eq(const struct cluster_view *a, const struct cluster_view *b)
{
    if (a->count != b->count || memcmp(a->owner, b->owner, sizeof(a->owner)) != 0)
        return false;
    for (size_t i = 0; i < a->count; ++i)
        if (!node_eq(&a->nodes[i], &b->nodes[i]))
            return false;
    return true;
}

/* ---- together ---- */

static const struct cluster_node *owner_of(const struct cluster_view *view, size_t slot)
{
    return view->owner[slot] == 0 ? NULL : &view->nodes[view->owner[slot] - 1];
}

static bool same_node(const struct cluster_node *a, const struct cluster_node *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a->id, b->id) == 0);
}

/* What several say, and which of them, if any, each node of theirs is. */
struct claims {
    const struct cluster_view *const *views;
    size_t count;
    const struct cluster_view **said_by[]; /* for each view an array: by index of its node */
};

static const struct cluster_view *view_of(const struct cluster_view *const *views, size_t count, const char *id)
{
    for (size_t i = 0; i < count; ++i)
        if (views[i]->self != 0 && strcmp(views[i]->nodes[views[i]->self - 1].id, id) == 0)
            return views[i];
    return NULL;
}

static struct claims *make_claims(const struct cluster_view *const *views, size_t count)
{
    struct claims *claims = h2o_mem_alloc(sizeof(*claims) + count * sizeof(claims->said_by[0]));
    *claims = (struct claims){views, count};
    for (size_t i = 0; i < count; ++i) {
        claims->said_by[i] = h2o_mem_alloc((views[i]->count + 1) * sizeof(*claims->said_by[i]));
        for (size_t j = 0; j < views[i]->count; ++j)
            claims->said_by[i][j] = view_of(views, count, views[i]->nodes[j].id);
    }
    return claims;
}

static void free_claims(struct claims *claims)
{
    for (size_t i = 0; i < claims->count; ++i)
        free(claims->said_by[i]);
    free(claims);
}

/* Whether the owner that view `i` names says itself that the slot is not its own. */
static bool is_denied(const struct claims *claims, size_t i, size_t slot)
{
    const struct cluster_view *its = claims->said_by[i][claims->views[i]->owner[slot] - 1];
    return its != NULL && its->owner[slot] != its->self;
}

static const struct cluster_node *latest_owner(const struct claims *claims, size_t slot, const struct cluster_node *before,
                                               bool hear_denied)
{
    const struct cluster_node *best = NULL;
    for (size_t i = 0; i < claims->count; ++i) {
        const struct cluster_node *node = owner_of(claims->views[i], slot);
        if (node == NULL || (!hear_denied && is_denied(claims, i, slot)))
            continue;
        if (best == NULL || node->epoch > best->epoch || (node->epoch == best->epoch && same_node(node, before)))
            best = node;
    }
    return best;
}

/* Two that name each other were asked one before and one after the slot has moved. */
static const struct cluster_node *believed_owner(const struct claims *claims, size_t slot, const struct cluster_node *before)
{
    const struct cluster_node *owner = latest_owner(claims, slot, before, false);
    return owner != NULL ? owner : latest_owner(claims, slot, before, true);
}

static bool is_at(const struct cluster_view *view, const struct cluster_node *node)
{
    uint16_t known = find(view, slice_of(node->id));
    return known != 0 && redis_node_eq(&view->nodes[known - 1].at, &node->at);
}

/* Where a node was before, as long as one still says so: each may see it under an address of its own. */
static void keep_addresses(struct cluster_view *out, const struct cluster_view *const *views, size_t count,
                           const struct cluster_view *before)
{
    for (size_t i = 0; i < out->count; ++i) {
        uint16_t known = find(before, slice_of(out->nodes[i].id));
        for (size_t j = 0; known != 0 && j < count; ++j)
            if (is_at(views[j], &before->nodes[known - 1]))
                out->nodes[i].at = before->nodes[known - 1].at;
    }
}

static uint16_t add_primary(struct cluster_view *out, const struct cluster_node *node)
{
    struct cluster_node primary = *node;
    primary.primary = 0;
    return add(out, &primary);
}

/* Of the owners. */
static void add_replicas(struct cluster_view *out, const struct cluster_view *view)
{
    for (size_t i = 0; i < view->count; ++i) {
        struct cluster_node node = view->nodes[i];
        if (node.primary == 0 || find(out, slice_of(node.id)) != 0 || out->count == CLUSTER_NODES_MAX)
            continue;
        node.primary = find(out, slice_of(view->nodes[node.primary - 1].id));
        if (node.primary != 0 && out->nodes[node.primary - 1].primary == 0)
            add(out, &node);
    }
}

void cluster_view_merge(struct cluster_view *out, const struct cluster_view *const *views, size_t count,
                        const struct cluster_view *before)
{
    const struct cluster_node *last = NULL; /* neighbours have the same owner, mostly */
    struct claims *claims = make_claims(views, count);
    for (size_t slot = 0; slot < SLOTS; ++slot) {
        const struct cluster_node *node = believed_owner(claims, slot, owner_of(before, slot));
        uint16_t known = node == NULL ? 0 : node == last ? out->owner[slot - 1] : find(out, slice_of(node->id));
        out->owner[slot] = node == NULL || known != 0 ? known : out->count == CLUSTER_NODES_MAX ? 0 : add_primary(out, node);
        last = node;
    }
    free_claims(claims);
    for (size_t i = 0; i < count; ++i)
        add_replicas(out, views[i]);
    keep_addresses(out, views, count, before);
}
