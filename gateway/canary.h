/* Proof that the bus works both ways: this node publishes a small message on a channel of its own and waits to receive it. Bus thread only.
 *
 * Redis executes commands one after another and sends each subscriber's messages in that order: so when a canary that was published after some
 * moment is back, everything published before that moment is here, too. */
#pragma once

#include "proto/bus/subscribe.h"
#include "runtime/timer.h"

struct canary;

struct canary_options {
    h2o_loop_t *loop;
    struct redis *commands; /* publishes */
    struct subscribe *subscribe; /* receives */
    uint64_t interval_ms; /* between two of them */
};

struct canary *canary_open(const struct canary_options *options);

/* The tag under which the canary's channel is subscribed: events with this tag go to the two functions below. */
void *canary_tag(struct canary *canary);
void canary_subscribed(struct canary *canary);
void canary_message(struct canary *canary, struct slice payload);

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

/* Milliseconds since the newest canary that came back was sent; UINT64_MAX when none ever did. */
uint64_t canary_age_ms(const struct canary *canary);
