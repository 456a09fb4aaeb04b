/* A canary is believed once: what proves the bus is a number that left and has not come back yet. Redis is this file. */
#include "gateway/feed/canary.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/counters.h"
#include "runtime/monotonic.h"
#include "tests/check.h"
#include "tests/unit/fake_clock.h"

enum { INTERVAL_MS = 1000 };

static uint64_t left; /* the number that was published last */
static bool refuses; /* publishing */

bool redis_command(struct redis *redis, const struct slice *argv, size_t argc, redis_reply_cb cb, void *data)
{
    char text[24] = "";
    (void)redis, (void)cb, (void)data;
    if (refuses || argc != 3)
        return false;
    memcpy(text, argv[2].p, argv[2].n);
    left = strtoull(text, NULL, 10);
    return true;
}

static struct subscription *subscribed; /* to the canary's channel */

void subscribe_add(struct subscribe *subscribe, struct slice name, struct subscription *subscription)
{
    (void)subscribe, (void)name;
    subscribed = subscription;
}

void subscribe_remove(struct subscribe *subscribe, struct slice name)
{
    (void)subscribe, (void)name;
}

static unsigned drops;

void subscribe_drop(struct subscribe *subscribe, const char *why)
{
    (void)subscribe, (void)why;
    ++drops;
}

static unsigned cames; /* numbers that are not believed yet */

static void on_came(void *data)
{
    (void)data;
    ++cames;
}

static unsigned beats, backs, calls;

static void on_beat(void *data)
{
    (void)data;
    ++beats;
}

static void on_back(void *data)
{
    (void)data;
    ++backs;
}

static void on_proof(void *data)
{
    (void)data;
    ++calls;
}

static void comes(const char *payload)
{
    subscribed->events->on_message(subscribed, slice_of(payload));
}

static void test_numbers(struct canary *canary)
{
    check(canary_proven_us(canary) == 0, "nothing is proven before the first came back");
    subscribed->events->on_subscribed(subscribed);
    check(left == 1, "the first leaves when the channel is subscribed");
    comes("1");
    uint64_t proven = canary_proven_us(canary);
    check(backs == 1 && proven != 0, "it came back");
    subscribed->events->on_subscribed(subscribed);
    check(left == 2, "the next one leaves");
    comes("1");
    check(backs == 1 && canary_proven_us(canary) == proven, "one that was seen already proves nothing");
    comes("3");
    check(backs == 1 && canary_proven_us(canary) == proven, "nor does one that did not leave");
    static const char *const none[] = {"", "0", "-1", "x", "2 but longer than any number is"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); ++i)
        comes(none[i]);
    check(backs == 1, "nor what is no number");
    comes("2");
    check(backs == 2 && canary_proven_us(canary) >= proven, "the one under way does");
}

static void test_barrier(struct canary *canary)
{
    struct canary_wait first = {.cb = on_proof}, second = {.cb = on_proof};
    canary_barrier(canary, &first);
    check(left == 3 && calls == 0, "a canary leaves for who waits");
    canary_barrier(canary, &second);
    check(left == 3, "one at a time");
    comes("2");
    check(calls == 0, "an old one proves nothing");
    comes("3");
    check(calls == 1 && left == 4, "its own one does, and the next leaves");
    comes("3");
    check(calls == 1, "an old one proves nothing to the second, either");
    comes("4");
    check(calls == 2, "its own does");
}

static void test_interval(struct canary *canary)
{
    struct canary_wait wait = {.cb = on_proof};
    uint64_t before = left;
    beats = calls = 0;
    fake_pass(INTERVAL_MS - 1);
    check(left == before && beats == 0, "none leaves before its time");
    fake_pass(1);
    check(left == before + 1 && beats == 1, "one leaves each interval, and says so");
    canary_barrier(canary, &wait);
    check(left == before + 2, "one that is waited for leaves at once");
    fake_pass(INTERVAL_MS);
    check(left == before + 3 && beats == 2 && calls == 0, "… and another one each interval, as that one may be lost");
    comes("7");
    check(calls == 1, "… which proves as much to who waited");
    canary_barrier(canary, &wait);
    canary_lost(canary);
    fake_pass(INTERVAL_MS);
    check(left == before + 4 && calls == 1, "none leaves without its subscription");
    subscribed->events->on_subscribed(subscribed);
    comes("9");
    check(left == before + 5 && calls == 2, "… and who waited waits for the next one");
}

/* Its time was overwritten by a later one's, which would prove what it does not. */
static void test_late(struct canary *canary)
{
    uint64_t oldest = left + 1, proven = canary_proven_us(canary);
    char number[24];
    struct canary_wait wait = {.cb = on_proof};
    backs = calls = 0;
    canary_barrier(canary, &wait);
    for (unsigned i = 0; i < 64; ++i)
        fake_pass(INTERVAL_MS);
    snprintf(number, sizeof(number), "%llu", (unsigned long long)oldest);
    comes(number);
    check(left == oldest + 64 && calls == 1, "one that comes after 64 others left still lets those on that waited for it");
    check(backs == 0 && canary_proven_us(canary) == proven, "… but no time is known that it proves");
    snprintf(number, sizeof(number), "%llu", (unsigned long long)oldest + 1);
    comes(number);
    check(backs == 1 && canary_proven_us(canary) > proven, "one that is a little younger proves its time");
}

/* Where a replica is listened at, a number proves nothing before its link was looked at. */
static void test_belief(struct canary_options options, const struct shards *shards, const struct shard *shard)
{
    options.on_came = on_came;
    struct canary *canary = canary_open(&options);
    canary_place(canary, shards, shard);
    backs = 0;
    subscribed->events->on_subscribed(subscribed);
    comes("1");
    check(cames == 1 && backs == 0 && canary_proven_us(canary) == 0, "what came is not believed at once");
    canary_believe(canary);
    check(backs == 1 && canary_proven_us(canary) != 0, "… but when all before it came");
    canary_believe(canary);
    check(backs == 1, "… once");
    subscribed->events->on_subscribed(subscribed);
    comes("2");
    subscribed->events->on_unsubscribed(subscribed);
    canary_believe(canary);
    check(backs == 1, "nor after its channel was taken away");
    subscribed->events->on_refused(subscribed, "no");
    check(drops == 1, "who may not hear it may hear nothing");
    canary_close(canary);
}

int main(void)
{
    static struct shard shard;
    static const struct pubsub_commands words = {.publish = SLICE("PUBLISH")};
    counters_init();
    metrics_thread();
    struct canary_options options = {
        .loop = &fake_loop, .interval_ms = INTERVAL_MS, .words = &words, .on_beat = on_beat, .on_back = on_back};
    struct canary *canary = canary_open(&options);
    canary_place(canary, &(struct shards){.all = &shard}, &shard);
    refuses = true;
    subscribed->events->on_subscribed(subscribed);
    check(left == 0, "one that can't be published has no number");
    refuses = false;
    test_numbers(canary);
    test_barrier(canary);
    test_interval(canary);
    test_late(canary);
    canary_close(canary);
    test_belief(options, &(struct shards){.all = &shard}, &shard);
    return check_end();
}
