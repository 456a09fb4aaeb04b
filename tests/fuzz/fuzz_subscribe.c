/* Input: steps, each a field: "s", as the first: pub/sub is sharded; "a0" to "a3": a channel is added, "r0" to "r3": removed, "h": the peer hangs up, anything else is said by the peer.
 * A channel's events come only while it is in the set, and its messages only once it was confirmed since it was added. */
#include "runtime/redis/subscribe.h"

#include "tests/fuzz/peer.h"

enum { CHANNELS = 4 };

static struct subscribe *subscribe;
static struct channel {
    const char *name;
    bool wanted, confirmed;
    struct subscription subscription;
} channels[CHANNELS] = {{.name = "sse:a"}, {.name = "sse:b"}, {.name = "sse:news/1"}, {.name = "sse:sse:"}};

static struct channel *channel_of(struct subscription *subscription)
{
    return H2O_STRUCT_FROM_MEMBER(struct channel, subscription, subscription);
}

static void on_subscribed(struct subscription *subscription)
{
    struct channel *channel = channel_of(subscription);
    must(channel->wanted);
    channel->confirmed = true;
}

static void on_message(struct subscription *subscription, struct slice payload)
{
    struct channel *channel = channel_of(subscription);
    struct text copy = {NULL, 0, 0};
    must(channel->wanted && channel->confirmed);
    text_add(&copy, payload);
    text_free(&copy);
}

static void on_lost(void *data, const char *why)
{
    must(data == channels && why[0] != '\0');
    for (size_t i = 0; i != CHANNELS; ++i)
        channels[i].confirmed = false;
}

static void on_unsubscribed(struct subscription *subscription)
{
    struct channel *channel = channel_of(subscription);
    must(channel->wanted && channel->confirmed);
    channel->confirmed = false;
}

static void on_refused(struct subscription *subscription, const char *why)
{
    struct channel *channel = channel_of(subscription);
    must(channel->wanted && why[0] != '\0');
    channel->confirmed = false;
}

/* The peer is a node of a cluster. */
static void shard(struct redis_options *options)
{
    static struct redis_url url;
    static struct topology topology;
    url = *options->url;
    url.kind = REDIS_CLUSTER;
    topology_init_node(&topology, &url, NULL, TOPOLOGY_NODE);
    options->url = &url;
    options->topology = &topology;
}

static void change(struct channel *channel, bool add)
{
    if (channel->wanted == add)
        return;
    channel->wanted = add;
    channel->confirmed = false;
    if (add)
        subscribe_add(subscribe, slice_of(channel->name), &channel->subscription);
    else
        subscribe_remove(subscribe, slice_of(channel->name));
}

static void step(struct slice step)
{
    if (step.n == 2 && (step.p[0] == 'a' || step.p[0] == 'r') && step.p[1] >= '0' && step.p[1] < '0' + CHANNELS)
        change(&channels[step.p[1] - '0'], step.p[0] == 'a');
    else if (slice_eq(step, SLICE("h")))
        peer_hang_up();
    else
        peer_say(step);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct subscription_events channel_events = {
        .on_subscribed = on_subscribed, .on_message = on_message, .on_unsubscribed = on_unsubscribed, .on_refused = on_refused};
    const struct subscribe_events events = {.on_lost = on_lost, .data = channels};
    struct slice rest = slice_make((const char *)data, size);
    struct redis_options options = peer_options(false, false);
    bool sharded = slice_starts(rest, SLICE("s\xff"));
    if (sharded) {
        shard(&options);
        next_field(&rest);
    }
    for (size_t i = 0; i != CHANNELS; ++i) {
        channels[i].wanted = channels[i].confirmed = false;
        channels[i].subscription.events = &channel_events;
    }
    subscribe = subscribe_open(&options, &events);
    peer_settle();
    if (sharded)
        peer_say(SLICE("*2\r\n$4\r\nmode\r\n$7\r\ncluster\r\n+OK\r\n+PONG\r\n"));
    else
        peer_greet(false, false);
    must(subscribe_ready(subscribe));
    while (rest.p != NULL)
        step(next_field(&rest));
    must(subscribe_ready(subscribe) == (subscribe_why(subscribe) == NULL));
    subscribe_close(subscribe);
    peer_end();
    return 0;
}
