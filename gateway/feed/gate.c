#include "gateway/feed/gate.h"

#include <stdlib.h>

#include "runtime/monotonic.h"
#include "runtime/seeded_hash.h"
#include "runtime/timer.h"

enum {
    STEP_US = 50, /* the pace: a new channel in so many microseconds, 20,000 a second */
    AHEAD_US = 10000, /* of it, that many channels may come at once after a pause */
    TICK_MS = 1,
};

/* A client with streams that wait, oldest first. */
struct client {
    uint64_t key;
    h2o_linklist_t requests;
    h2o_linklist_t turn;
    UT_hash_handle hh;
};

struct gate {
    struct gate_options options;
    struct client *clients; /* uthash by key */
    h2o_linklist_t turns; /* of the clients: the first one's is next */
    size_t waiting;
    uint64_t paid_us; /* until then the pace is used up */
    struct timer tick;
};

static struct client *client_of(struct gate *gate, uint64_t key)
{
    struct client *client;
    HASH_FIND(hh, gate->clients, &key, sizeof(key), client);
    if (client != NULL)
        return client;
    client = h2o_mem_alloc(sizeof(*client));
    *client = (struct client){.key = key};
    h2o_linklist_init_anchor(&client->requests);
    h2o_linklist_insert(&gate->turns, &client->turn);
    HASH_ADD(hh, gate->clients, key, sizeof(client->key), client);
    return client;
}

static void free_if_done(struct gate *gate, struct client *client)
{
    if (!h2o_linklist_is_empty(&client->requests))
        return;
    h2o_linklist_unlink(&client->turn);
    HASH_DEL(gate->clients, client);
    free(client);
}

static void let_in(struct gate *gate, struct feed_request *request, uint64_t now_us)
{
    gate->paid_us = (gate->paid_us > now_us ? gate->paid_us : now_us) + (uint64_t)request->fresh * STEP_US;
    gate->options.let_in(gate->options.data, request);
}

static bool may_enter(struct gate *gate, uint64_t now_us)
{
    return gate->paid_us <= now_us + AHEAD_US && !gate->options.is_busy(gate->options.data);
}

void gate_take_out(struct gate *gate, struct feed_request *request)
{
    h2o_linklist_unlink(&request->super.link);
    gate->waiting -= request->fresh;
    free_if_done(gate, client_of(gate, request->client));
}

/* The next client's oldest; the client goes to the end of the turns. */
static struct feed_request *take_next(struct gate *gate)
{
    struct client *client = H2O_STRUCT_FROM_MEMBER(struct client, turn, gate->turns.next);
    struct feed_request *request = H2O_STRUCT_FROM_MEMBER(struct feed_request, super.link, client->requests.next);
    h2o_linklist_unlink(&client->turn);
    h2o_linklist_insert(&gate->turns, &client->turn);
    gate_take_out(gate, request);
    return request;
}

static void let_in_some(struct gate *gate)
{
    uint64_t now_us = monotonic_us();
    while (!h2o_linklist_is_empty(&gate->turns) && may_enter(gate, now_us))
        let_in(gate, take_next(gate), now_us);
}

static void on_tick(void *data)
{
    struct gate *gate = data;
    let_in_some(gate);
    if (!h2o_linklist_is_empty(&gate->turns))
        timer_start(&gate->tick, TICK_MS);
}

struct gate *gate_open(const struct gate_options *options)
{
    struct gate *gate = h2o_mem_alloc(sizeof(*gate));
    *gate = (struct gate){.options = *options};
    h2o_linklist_init_anchor(&gate->turns);
    timer_init(&gate->tick, options->loop, on_tick, gate);
    return gate;
}

void gate_put(struct gate *gate, struct feed_request *request, uint32_t fresh)
{
    uint64_t now_us = monotonic_us();
    request->fresh = fresh;
    if (h2o_linklist_is_empty(&gate->turns) && may_enter(gate, now_us)) {
        let_in(gate, request, now_us);
        return;
    }
    h2o_linklist_insert(&client_of(gate, request->client)->requests, &request->super.link);
    gate->waiting += fresh;
    if (!timer_running(&gate->tick))
        timer_start(&gate->tick, TICK_MS);
}

size_t gate_waiting(const struct gate *gate)
{
    return gate->waiting;
}
