#include "runtime/limits.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/check.h"

enum { SECOND_US = 1000000, THREADS = 4, TURNS = 20000, PLACES_MAX = 64 };

static struct client_address address(const char *text)
{
    struct client_address out = {{0}};
    if (!client_address_parse(&out, slice_of(text)))
        printf("Bail out! %s\n", text);
    return out;
}

static enum limit enter(struct limits *limits, const char *client, uint64_t now_us, struct limits_place **place)
{
    struct client_address from = address(client);
    unsigned retry_s = 0;
    *place = NULL;
    enum limit limit = limits_enter(limits, &from, now_us, place, &retry_s);
    if (limit != LIMIT_NONE)
        check(retry_s >= 1 && *place == NULL, "a refusal tells when to try again, and takes nothing (%u s)", retry_s);
    return limit;
}

static void test_off(void)
{
    struct limits *limits = limits_create(&(struct limits_options){0});
    struct limits_place *place;
    check(!limits_on_streams(limits) && !limits_on_publishing(limits), "all limits are off");
    check(enter(limits, "192.0.2.1", 1, &place) == LIMIT_NONE && limits_entries(limits) == 0,
          "without limits nothing is remembered");
    limits_leave(place, 1);
    limits_leave(NULL, 1);
    limits_free(limits);
}

static void test_streams(void)
{
    struct limits *limits = limits_create(&(struct limits_options){.streams = 3});
    struct limits_place *places[4];
    static const char *const clients[] = {"192.0.2.1", "192.0.2.1", "2001:db8::1"};
    for (int i = 0; i < 3; ++i)
        check(enter(limits, clients[i], 1, &places[i]) == LIMIT_NONE, "place %d of the process", i + 1);
    check(enter(limits, "192.0.2.9", 1, &places[3]) == LIMIT_STREAMS, "the process has no more");
    limits_leave(places[1], 1);
    check(enter(limits, "192.0.2.9", 1, &places[1]) == LIMIT_NONE, "one that was left can be taken");
    check(enter(limits, "192.0.2.9", 1, &places[3]) == LIMIT_STREAMS, "… once");
    for (int i = 0; i < 3; ++i)
        limits_leave(places[i], 1);
    limits_free(limits);
}

static void test_addresses(void)
{
    struct limits *limits = limits_create(&(struct limits_options){.address_streams = 2});
    struct limits_place *places[6], *none;
    check(enter(limits, "192.0.2.1", 1, &places[0]) == LIMIT_NONE && enter(limits, "192.0.2.1", 1, &places[1]) == LIMIT_NONE,
          "an address has two places");
    check(enter(limits, "192.0.2.1", 1, &none) == LIMIT_ADDRESS_STREAMS, "… and no third");
    check(enter(limits, "::ffff:192.0.2.1", 1, &none) == LIMIT_ADDRESS_STREAMS, "… however it is written");
    check(enter(limits, "192.0.2.2", 1, &places[2]) == LIMIT_NONE, "another address has its own");
    check(enter(limits, "2001:db8:0:1::1", 1, &places[3]) == LIMIT_NONE &&
              enter(limits, "2001:db8:0:1:ffff:ffff:ffff:ffff", 1, &places[4]) == LIMIT_NONE &&
              enter(limits, "2001:db8:0:1::2", 1, &none) == LIMIT_ADDRESS_STREAMS,
          "addresses of one /64 share theirs");
    check(enter(limits, "2001:db8:0:2::1", 1, &places[5]) == LIMIT_NONE, "another /64 has its own");
    check(limits_entries(limits) == 4, "four addresses are held");
    for (int i = 0; i < 6; ++i)
        limits_leave(places[i], 1);
    check(limits_entries(limits) <= 1, "… and none when their streams are gone");
    limits_free(limits);
}

static void test_subjects(void)
{
    struct limits *limits = limits_create(&(struct limits_options){.subject_streams = 2});
    struct limits_place *places[6];
    unsigned retry_s;
    for (int i = 0; i < 6; ++i)
        enter(limits, "192.0.2.1", 1, &places[i]);
    check(limits_enter_subject(places[0], SLICE("alice"), &retry_s) == LIMIT_NONE &&
              limits_enter_subject(places[1], SLICE("alice"), &retry_s) == LIMIT_NONE,
          "a subject has two places");
    check(limits_enter_subject(places[2], SLICE("alice"), &retry_s) == LIMIT_SUBJECT_STREAMS && retry_s >= 1, "… and no third");
    check(limits_enter_subject(places[3], SLICE("bob"), &retry_s) == LIMIT_NONE, "another subject has its own");
    check(limits_enter_subject(places[4], (struct slice){NULL, 0}, &retry_s) == LIMIT_NONE &&
              limits_enter_subject(places[5], (struct slice){NULL, 0}, &retry_s) == LIMIT_NONE,
          "no subject has no limit");
    limits_leave(places[0], 1);
    check(limits_enter_subject(places[2], SLICE("alice"), &retry_s) == LIMIT_NONE, "a place that was left can be taken");
    for (int i = 1; i < 6; ++i)
        limits_leave(places[i], 1);
    limits_free(limits);
}

/* How many streams may be opened at once, each closed again. */
static unsigned burst(struct limits *limits, const char *client, uint64_t now_us)
{
    struct limits_place *place;
    unsigned count = 0;
    while (count < 1000 && enter(limits, client, now_us, &place) == LIMIT_NONE) {
        limits_leave(place, now_us);
        ++count;
    }
    return count;
}

static void test_rates(void)
{
    struct limits *limits = limits_create(&(struct limits_options){.stream_rate = 2, .publish_rate = 1});
    struct client_address client = address("192.0.2.1");
    uint64_t now = 5 * SECOND_US;
    unsigned retry_s, published = 0;
    check(burst(limits, "192.0.2.1", now) == 20, "ten seconds' worth of streams at once");
    check(burst(limits, "192.0.2.1", now) == 0 && burst(limits, "192.0.2.2", now) == 20, "then nothing, but for another address");
    check(burst(limits, "192.0.2.1", now + SECOND_US / 2 - 1) == 0, "nothing just before half a second is over");
    check(burst(limits, "192.0.2.1", now + SECOND_US / 2) == 1, "one after half a second");
    check(burst(limits, "192.0.2.1", now + 3 * SECOND_US) == 5, "five after two and a half more");
    check(burst(limits, "192.0.2.1", now + 60 * SECOND_US) == 20, "no more than a burst after a long pause");
    while (published < 100 && limits_publish(limits, &client, now, &retry_s) == LIMIT_NONE)
        ++published;
    check(published == 10 && retry_s == 1, "publishes have a bucket of their own (%u, %u s)", published, retry_s);
    check(limits_publish(limits, &client, now + SECOND_US, &retry_s) == LIMIT_NONE, "the seconds it told are enough");

    now += 100 * SECOND_US;
    check(limits_publish(limits, &client, now, &retry_s) == LIMIT_NONE, "a full bucket lets a batch in");
    limits_publish_more(limits, &client, 999, now);
    check(limits_publish(limits, &client, now, &retry_s) == LIMIT_PUBLISH_RATE && retry_s == 991, "all of it is paid for: %u s",
          retry_s);
    check(limits_publish(limits, &client, now + 990 * SECOND_US, &retry_s) == LIMIT_PUBLISH_RATE, "not sooner");
    check(limits_publish(limits, &client, now + 991 * SECOND_US, &retry_s) == LIMIT_NONE, "and then the client goes on");
    limits_free(limits);
}

static unsigned seconds; /* as the last refusal told */

static enum limit channels(struct limits *limits, const char *client, uint32_t fresh, uint64_t now_us)
{
    struct client_address from = address(client);
    enum limit limit = limits_channels(limits, &from, fresh, fresh, now_us, &seconds);
    check((seconds != 0) == (limit != LIMIT_NONE), "a refusal tells when to try again (%u s)", seconds);
    return limit;
}

static uint32_t left(struct limits *limits, const char *client, uint64_t now_us)
{
    struct client_address from = address(client);
    return limits_channels_left(limits, &from, now_us);
}

static void test_channels(void)
{
    struct limits *limits = limits_create(&(struct limits_options){.channel_rate = 20});
    uint64_t now = 5 * SECOND_US;
    check(!limits_on_streams(limits) && left(limits, "192.0.2.1", now) == UINT32_MAX, "a client that used nothing");
    check(channels(limits, "192.0.2.1", 150, now) == LIMIT_NONE && left(limits, "192.0.2.1", now) == 50, "150 of them leave 50");
    check(channels(limits, "192.0.2.1", 51, now) == LIMIT_CHANNEL_RATE && left(limits, "192.0.2.1", now) == 50,
          "too many at once take nothing");
    check(channels(limits, "192.0.2.1", 50, now) == LIMIT_NONE && left(limits, "192.0.2.1", now) == 0, "exactly the rest");
    check(channels(limits, "192.0.2.2", 200, now) == LIMIT_NONE, "another address has its own");
    check(channels(limits, "192.0.2.1", 40, now + 2 * SECOND_US) == LIMIT_NONE, "40 more after two seconds");
    check(channels(limits, "192.0.2.1", 1, now + 2 * SECOND_US) == LIMIT_CHANNEL_RATE, "and no more");
    limits_free(limits);
    limits = limits_create(&(struct limits_options){.channel_rate = 1});
    check(channels(limits, "192.0.2.1", 100, now) == LIMIT_NONE,
          "a stream of more channels than one may have at once passes alone");
    check(channels(limits, "192.0.2.1", 1, now + SECOND_US) == LIMIT_CHANNEL_RATE && seconds == 90,
          "and pays for all of them: 90 more seconds until there is one again (%u)", seconds);
    check(channels(limits, "192.0.2.1", 1, now + 90 * SECOND_US) == LIMIT_CHANNEL_RATE && seconds == 1, "not before (%u)", seconds);
    check(channels(limits, "192.0.2.1", 1, now + 91 * SECOND_US) == LIMIT_NONE, "the seconds it told are enough");
    check(channels(limits, "192.0.2.1", 100, now + 99 * SECOND_US) == LIMIT_CHANNEL_RATE && seconds == 2,
          "the next such stream is told when (%u)", seconds);
    check(channels(limits, "192.0.2.1", 100, now + 101 * SECOND_US) == LIMIT_NONE, "it has paid for all, and passes");
    struct client_address from = address("192.0.2.2");
    check(channels(limits, "192.0.2.2", 10, now) == LIMIT_NONE, "another uses up all it may have at once");
    check(limits_channels(limits, &from, 1, 100, now, &seconds) == LIMIT_CHANNEL_RATE && seconds == 10,
          "the seconds are for all channels of a stream that was looked at in part (%u)", seconds);
    limits_free(limits);
    limits = limits_create(&(struct limits_options){0});
    check(channels(limits, "192.0.2.1", 100000, now) == LIMIT_NONE && left(limits, "192.0.2.1", now) == UINT32_MAX &&
              limits_entries(limits) == 0,
          "without a limit nothing is remembered");
    limits_free(limits);
}

static void test_memory(void)
{
    struct limits *limits = limits_create(&(struct limits_options){.publish_rate = 1});
    unsigned retry_s;
    uint64_t now = SECOND_US;
    for (uint32_t i = 0; i < 100000; ++i) {
        struct client_address client = {
            .bytes = {0x20, 1, 0, 0, (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
        limits_publish(limits, &client, now, &retry_s);
        now += 1000;
    }
    size_t held = limits_entries(limits);
    check(held >= 1000 && held < 1200,
          "at 1000 new addresses a second those of one second are held: their buckets are full after that (%zu)", held);
    for (uint32_t i = 0; i < LIMITS_IDLE_MAX + 100000; ++i) {
        struct client_address client = {
            .bytes = {0x20, 2, 0, 0, (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
        limits_publish(limits, &client, now, &retry_s);
    }
    held = limits_entries(limits);
    check(held <= LIMITS_IDLE_MAX, "at any rate no more than %d (%zu)", LIMITS_IDLE_MAX, held);
    limits_free(limits);
}

/* Takes and leaves places of a few addresses and subjects that the threads share. */
static void *run(void *data)
{
    struct limits *limits = data;
    struct limits_place *places[PLACES_MAX] = {NULL};
    unsigned retry_s, seed = (unsigned)(uintptr_t)&places;
    for (int i = 0; i < TURNS; ++i) {
        int at = rand_r(&seed) % PLACES_MAX;
        struct client_address client = {.bytes = {0x20, 1, 0, (uint8_t)(rand_r(&seed) % 8)}};
        limits_leave(places[at], (uint64_t)i);
        places[at] = NULL;
        if (limits_enter(limits, &client, (uint64_t)i, &places[at], &retry_s) == LIMIT_NONE)
            limits_enter_subject(places[at], rand_r(&seed) % 2 ? SLICE("alice") : SLICE("bob"), &retry_s);
    }
    for (int i = 0; i < PLACES_MAX; ++i)
        limits_leave(places[i], TURNS);
    return NULL;
}

static void test_threads(void)
{
    struct limits *limits = limits_create(&(struct limits_options){.streams = 100, .address_streams = 20, .subject_streams = 40});
    struct limits_place *places[20], *none;
    pthread_t threads[THREADS];
    unsigned retry_s;
    for (int i = 0; i < THREADS; ++i)
        pthread_create(&threads[i], NULL, run, limits);
    for (int i = 0; i < THREADS; ++i)
        pthread_join(threads[i], NULL);
    int taken = 0, subjects = 0;
    while (taken < 20 && enter(limits, "2001::1", TURNS, &places[taken]) == LIMIT_NONE)
        ++taken;
    check(taken == 20 && enter(limits, "2001::1", TURNS, &none) == LIMIT_ADDRESS_STREAMS,
          "after all threads left all is free again");
    for (int i = 0; i < 20; ++i)
        subjects += limits_enter_subject(places[i], SLICE("alice"), &retry_s) == LIMIT_NONE;
    check(subjects == 20, "… of a subject, too");
    for (int i = 0; i < 20; ++i)
        limits_leave(places[i], TURNS);
    limits_free(limits);
}

int main(void)
{
    test_off();
    test_streams();
    test_addresses();
    test_subjects();
    test_rates();
    test_channels();
    test_memory();
    test_threads();
    return check_end();
}
