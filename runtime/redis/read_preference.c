#include "runtime/redis/read_preference.h"

#include <stdlib.h>

#include "runtime/digits.h"
#include "runtime/monotonic.h"

enum {
    LIVED_MS = 2000, /* a connection that lived so long worked */
    ASKS_MAX = 4, /* for one that does not: two connections, each lost and tried once more */
    MAKESHIFT_MS = 10000, /* at one without a weight, until those that have one are tried again */
};

static const char *parse_weight(unsigned *out, struct slice text)
{
    uint64_t weight;
    if (text.n > 3 || !digits_decimal(&weight, text, READING_WEIGHT_MAX))
        return "a weight must be a number from 0 to 100";
    *out = (unsigned)weight;
    return NULL;
}

const char *read_preference_weights_parse(struct read_preference_weights *out, const char *text)
{
    struct slice rest = slice_of(text);
    bool primary = false, replica = false;
    *out = (struct read_preference_weights){0, 0};
    while (rest.p != NULL) {
        struct slice value = slice_trim(slice_split(&rest, ',')), name = slice_trim(slice_split(&value, '='));
        bool is_primary = slice_eq(name, SLICE("primary"));
        bool *seen = is_primary ? &primary : &replica;
        if ((!is_primary && !slice_eq(name, SLICE("replica"))) || *seen)
            return "must be primary=N, replica=N or both, each once, as in primary=1,replica=3";
        *seen = true;
        const char *why = parse_weight(is_primary ? &out->primary : &out->replica, slice_trim(value));
        if (why != NULL)
            return why;
    }
    return out->primary + out->replica == 0 ? "not all weights may be 0" : NULL;
}

void read_preference_init(struct read_preference *preference, const struct redis_url *url,
                          const struct read_preference_weights *weights)
{
    *preference = (struct read_preference){.weights = *weights};
    topology_init_node(&preference->topology, url, NULL, TOPOLOGY_NODE);
}

void read_preference_ask(struct read_preference *preference)
{
    if (monotonic_ms() - preference->chosen_ms > LIVED_MS) {
        preference->chosen_ms = monotonic_ms();
        preference->asks = 0;
    }
    ++preference->asks;
}

static unsigned weight_of(const struct read_preference *preference, size_t i)
{
    return i == 0 ? preference->weights.primary : preference->weights.replica;
}

static bool is_current(const struct read_preference *preference, size_t i)
{
    return preference->topology.node != NULL && redis_node_eq(&preference->node, &preference->nodes[i]);
}

/* The index of one of them by the weights, `but` not counted; where that leaves none: of the primary. */
static size_t draw(const struct read_preference *preference, bool but_current)
{
    unsigned total = 0;
    for (size_t i = 0; i < preference->count; ++i)
        total += but_current && is_current(preference, i) ? 0 : weight_of(preference, i);
    if (total == 0)
        return 0;
    unsigned ticket = arc4random_uniform(total);
    for (size_t i = 0; i < preference->count; ++i) {
        unsigned weight = but_current && is_current(preference, i) ? 0 : weight_of(preference, i);
        if (ticket < weight)
            return i;
        ticket -= weight;
    }
    return 0;
}

static void choose(struct read_preference *preference, bool but_current)
{
    size_t i = draw(preference, but_current);
    bool moved = preference->topology.node != NULL && !is_current(preference, i);
    preference->node = preference->nodes[i];
    preference->topology.node = &preference->node;
    preference->chosen_ms = monotonic_ms();
    preference->asks = 0;
    if (moved)
        topology_moved(&preference->topology, &preference->node);
}

/* Whether it is at one that should not be listened at while there are others: those were not there, or did not work. */
static bool is_makeshift(const struct read_preference *preference)
{
    bool others = false, itself = false;
    for (size_t i = 0; i < preference->count; ++i) {
        others = others || weight_of(preference, i) != 0;
        itself = itself || (is_current(preference, i) && weight_of(preference, i) != 0);
    }
    return others && !itself;
}

static bool is_same(const struct read_preference *preference, const struct redis_node *nodes, size_t count)
{
    bool same = preference->count == count;
    for (size_t i = 0; same && i < count; ++i)
        same = redis_node_eq(&preference->nodes[i], &nodes[i]);
    return same;
}

void read_preference_set(struct read_preference *preference, const struct redis_node *nodes, size_t count)
{
    bool here = false;
    if (is_same(preference, nodes, count))
        return;
    memcpy(preference->nodes, nodes, count * sizeof(*nodes));
    preference->count = count;
    for (size_t i = 0; i < count; ++i)
        here = here || is_current(preference, i);
    if (!here || is_makeshift(preference))
        choose(preference, false);
}

void read_preference_answer(struct read_preference *preference)
{
    if (preference->count == 0)
        return;
    if (preference->asks > ASKS_MAX && preference->count > 1)
        choose(preference, true);
    else if (is_makeshift(preference) && monotonic_ms() - preference->chosen_ms > MAKESHIFT_MS)
        choose(preference, false);
    topology_found(&preference->topology, &preference->node, NULL);
}
