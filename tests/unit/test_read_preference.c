#include "runtime/redis/read_preference.h"

#include "tests/check.h"

enum { DRAWS = 4000 };

static const struct redis_node nodes[] = {{"primary", 1}, {"one", 2}, {"two", 3}};

static void check_weights(void)
{
    static const struct {
        const char *text;
        unsigned primary, replica;
        const char *part; /* of the sentence */
    } rows[] = {
        {"primary=1", 1, 0, NULL},
        {"replica=1", 0, 1, NULL},
        {" replica = 100 , primary = 0 ", 0, 100, NULL},
        {"primary=2,replica=7", 2, 7, NULL},
        {"", 0, 0, "must be primary=N"},
        {"primary", 0, 0, "number from 0 to 100"},
        {"primary=", 0, 0, "number from 0 to 100"},
        {"primary=101", 0, 0, "number from 0 to 100"},
        {"primary=1000", 0, 0, "number from 0 to 100"},
        {"primary=-1", 0, 0, "number from 0 to 100"},
        {"primary=1,", 0, 0, "must be primary=N"},
        {"primary=1,primary=2", 0, 0, "each once"},
        {"master=1", 0, 0, "must be primary=N"},
        {"primary=0", 0, 0, "not all weights"},
        {"primary=0,replica=0", 0, 0, "not all weights"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct read_preference_weights weights;
        const char *why = read_preference_weights_parse(&weights, rows[i].text);
        if (rows[i].part == NULL)
            check(why == NULL && weights.primary == rows[i].primary && weights.replica == rows[i].replica, "'%s'", rows[i].text);
        else
            check(why != NULL && strstr(why, rows[i].part) != NULL, "'%s' is refused, and says why", rows[i].text);
    }
}

/* ---- one connection ---- */

struct seeker {
    struct topology_seeker super;
    const struct redis_node *at;
    int moved;
};

static void on_found(void *data, const struct redis_node *node, const char *why)
{
    (void)why;
    ((struct seeker *)data)->at = node;
}

static void on_moved(void *data, const struct redis_node *node)
{
    ((struct seeker *)data)->at = node;
    ++((struct seeker *)data)->moved;
}

static void ask(struct topology *topology)
{
    read_preference_ask(H2O_STRUCT_FROM_MEMBER(struct read_preference, topology, topology));
}

static void open_preference(struct read_preference *preference, struct seeker *seeker, unsigned primary, unsigned replica,
                            size_t count)
{
    static struct redis_url url;
    read_preference_init(preference, &url, &(struct read_preference_weights){primary, replica});
    preference->topology.ask = ask;
    *seeker = (struct seeker){.super = {.on_found = on_found, .on_moved = on_moved, .data = seeker}};
    topology_join(&preference->topology, &seeker->super);
    topology_ask(&preference->topology, &seeker->super);
    read_preference_answer(preference);
    read_preference_set(preference, nodes, count);
    read_preference_answer(preference);
}

static bool is(const struct seeker *seeker, size_t i)
{
    return seeker->at != NULL && redis_node_eq(seeker->at, &nodes[i]);
}

static void check_shares(void)
{
    static const struct {
        unsigned primary, replica;
        double share; /* of the primary, with two replicas */
    } rows[] = {{1, 0, 1}, {0, 1, 0}, {1, 1, 1.0 / 3}, {2, 1, 0.5}, {0, 0, 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        size_t hits = 0;
        for (int n = 0; n < DRAWS; ++n) {
            struct read_preference preference;
            struct seeker seeker;
            open_preference(&preference, &seeker, rows[i].primary, rows[i].replica, 3);
            hits += is(&seeker, 0);
        }
        double share = (double)hits / DRAWS;
        check(share > rows[i].share - 0.05 && share < rows[i].share + 0.05, "primary=%u,replica=%u: %zu of %d at the primary",
              rows[i].primary, rows[i].replica, hits, DRAWS);
    }
}

static void check_changes(void)
{
    struct read_preference preference;
    struct seeker seeker;
    open_preference(&preference, &seeker, 0, 1, 1);
    check(is(&seeker, 0), "without a replica it is the primary");
    read_preference_set(&preference, nodes, 2);
    check(is(&seeker, 1) && seeker.moved == 1, "a replica that comes is taken");
    read_preference_set(&preference, nodes, 3);
    check(is(&seeker, 1) && seeker.moved == 1, "another one changes nothing");
    read_preference_set(&preference, (struct redis_node[]){nodes[1], nodes[0], nodes[2]}, 3);
    check(seeker.moved == 2 && !is(&seeker, 1), "the replica became the primary, which has no weight");
    read_preference_set(&preference, (struct redis_node[]){nodes[1]}, 1);
    check(is(&seeker, 1) && seeker.moved == 3, "the last one is taken, whatever it is");

    open_preference(&preference, &seeker, 0, 1, 3);
    struct redis_node first = *seeker.at;
    for (int i = 0; i < 3; ++i) {
        topology_ask(&preference.topology, &seeker.super);
        read_preference_answer(&preference);
    }
    check(redis_node_eq(seeker.at, &first), "a node that is lost is tried again");
    for (int i = 0; i < 3; ++i) {
        topology_ask(&preference.topology, &seeker.super);
        read_preference_answer(&preference);
    }
    check(!redis_node_eq(seeker.at, &first) && !is(&seeker, 0), "one that goes on failing is left for the other replica");
}

int main(void)
{
    check_weights();
    check_shares();
    check_changes();
    return check_end();
}
