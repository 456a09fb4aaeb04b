/* When the events of an open loop are due: event k at start + k / rate, however late the ones before were. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct pacing {
    uint64_t start_ns, rate, total, next, armed; /* armed: the event the timer is set for */
    int timer; /* readable when the next event is due */
};

/* `total` events, `rate` a second, the first in a few milliseconds. */
void pacing_start(struct pacing *pacing, uint64_t rate, uint64_t total);

/* The next event if it is due at `now_ns`: its number from 0 and when it was due. */
bool pacing_take(struct pacing *pacing, uint64_t now_ns, uint64_t *number, uint64_t *due_ns);

/* To be called before waiting: sets the timer for the next event, and turns it off behind the last. */
void pacing_arm(struct pacing *pacing);

void pacing_end(struct pacing *pacing);
