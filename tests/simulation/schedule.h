/* Virtual time: what is due runs in order of its time, and of having been put in. A thread of a gateway is what its callbacks run on, one at a time; after each it takes a turn, as
 * after each run of an event loop. */
#pragma once

#include "tests/simulation/chance.h"

struct thread {
    uint16_t gateway; /* whose memory is counted, see memory.h */
    bool dead; /* its gateway was killed: nothing of it runs any more */
    uint64_t busy_until_us; /* it is held up as long */
    uint64_t pace_us; /* a turn comes so long after what called for it, at most */
    bool (*take_turn)(struct thread *thread); /* true: there is more, so that another follows */
    void *data;
    uint64_t slow_us; /* reading the clock takes so long, at most */
    bool turn_due;
};

/* Something to run once. Zeroed memory is one that does not wait. */
struct due {
    void (*run)(void *data);
    void *data;
    struct thread *on; /* NULL: the world's own */
    uint32_t place; /* in the heap; 0: it does not wait */
};

extern struct thread *thread_now; /* whose callback runs; NULL: none's */
extern struct chance chance_of_order; /* decides all delays */

void schedule_reset(uint64_t now_us);
uint64_t schedule_now_us(void);
extern uint64_t *schedule_now_ms; /* the same in milliseconds is kept here */

/* A thread reads the clock, which takes its time. */
uint64_t schedule_read_us(void);

/* Puts it in, or anew. On the thread of `due->on`. */
void schedule_at(struct due *due, uint64_t at_us);
void schedule_after(struct due *due, uint64_t us);
void schedule_cancel(struct due *due);
static inline bool schedule_waits(const struct due *due)
{
    return due->place != 0;
}

/* A turn of the thread is to follow. */
void thread_touch(struct thread *thread);

/* Calls `what(data)` as a callback of this thread, now. */
void thread_run(struct thread *thread, void (*what)(void *data), void *data);

/* Runs what is due until this time, and lets the time be it. */
void schedule_run(uint64_t until_us);

/* A sum over all that has run, to compare builds by. */
extern uint64_t schedule_digest;
static inline void schedule_note(uint64_t what)
{
    schedule_digest = (schedule_digest ^ what) * 0x9e3779b97f4a7c15;
    schedule_digest ^= schedule_digest >> 29;
}
