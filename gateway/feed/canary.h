/* Proof that a shard works both ways: this node publishes a small message on a channel of its own, in one of the shard's slots, and waits to receive it. Bus thread only.
 *
 * Redis executes commands one after another and sends each subscriber's messages in that order: so when a canary that was published after some
 * moment is back, everything published there before that moment is here, too. */
#pragma once

#include "runtime/redis/pubsub_commands.h"
#include "runtime/redis/shards.h"
#include "runtime/redis/subscribe.h"
#include "runtime/timer.h"

struct canary;

struct canary_options {
    h2o_loop_t *loop;
    struct redis *commands; /* publishes */
    struct subscribe *subscribe; /* receives */
    uint64_t interval_ms; /* between two of them */
    const struct pubsub_commands *words;
    void (*on_beat)(void *data); /* after each interval */
    /* A number was received; canary_believe() says when it proves something. NULL: at once. */
    void (*on_came)(void *data);
    void (*on_back)(void *data); /* one came back, and is believed */
    void *data;
};

struct canary *canary_open(const struct canary_options *options);

/* After the connections are closed. Runs all waiting callbacks; they check their condition again. */
void canary_close(struct canary *canary);

/* Gives it a channel that the shard has, where it has none: at the start, and when slots have moved. */
void canary_place(struct canary *canary, const struct shards *shards, const struct shard *shard);

/* Declares that everything which was published before the newest received number has been received as well. */
void canary_believe(struct canary *canary);

/* The subscriber connection was lost. */
void canary_lost(struct canary *canary);

/* The connection that publishes was lost: what was under way may not come. */
void canary_unsent(struct canary *canary);

/* Calls cb(data) once everything published before this call has been received; only after the bus is back when it is down. */
struct canary_wait {
    void (*cb)(void *data);
    void *data;
    struct canary_wait *next; /* the canary's own */
};
void canary_barrier(struct canary *canary, struct canary_wait *wait);

/* monotonic_us() when the newest canary that came back was sent; 0 when none ever did. */
uint64_t canary_proven_us(const struct canary *canary);

/* Why none came back lately, where none did: a static sentence. */
const char *canary_why(const struct canary *canary);
