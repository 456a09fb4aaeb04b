/* When the events of an open loop are due: event k at start + k / rate, however late the ones before were. They are taken in batches: with the last one of each. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct pacing {
    uint64_t start_ns, rate, total, batch, next, armed; /* armed: the event the timer is set for */
    int timer; /* readable when the next batch is due */
};

/* `total` events, whole batches, `rate` a second, the first in a few milliseconds. */
void pacing_start(struct pacing *pacing, uint64_t rate, uint64_t total, uint64_t batch);

/* The next event if its batch is due at `now_ns`: its number from 0 and when it was due. */
bool pacing_take(struct pacing *pacing, uint64_t now_ns, uint64_t *number, uint64_t *due_ns);

/* To be called before waiting: sets the timer for the next batch, and turns it off behind the last. */
void pacing_arm(struct pacing *pacing);

void pacing_end(struct pacing *pacing);
