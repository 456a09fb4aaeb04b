#include "tests/simulation/schedule.h"

#include <stdlib.h>

enum { MOST = 1 << 16, THREADS = 64 };

struct waiting {
    uint64_t at_us, order;
    struct due *due;
};

static struct waiting heap[MOST]; /* from 1 on */
static uint32_t count;
static uint64_t now_us, order, drift_us;
static struct due turns[THREADS];
static struct thread *turning[THREADS];
static uint32_t turning_count;

struct thread *thread_now;
struct chance chance_of_order;
uint64_t schedule_digest;
uint64_t *schedule_now_ms;

void schedule_reset(uint64_t at_us)
{
    count = 0;
    now_us = at_us;
    order = 0;
    drift_us = 0;
    turning_count = 0;
    thread_now = NULL;
    schedule_digest = 0;
    for (uint32_t i = 0; i < THREADS; ++i)
        turns[i].place = 0;
}

uint64_t schedule_now_us(void)
{
    return now_us + drift_us;
}

uint64_t schedule_read_us(void)
{
    if (thread_now != NULL && thread_now->slow_us != 0)
        drift_us += chance_below(&chance_of_order, thread_now->slow_us + 1);
    return now_us + drift_us;
}

/* ---- the heap ---- */

static bool before(const struct waiting *a, const struct waiting *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void put(uint32_t place, struct waiting waiting)
{
    heap[place] = waiting;
    waiting.due->place = place;
}

static void rise(uint32_t place, struct waiting waiting)
{
    for (; place > 1 && before(&waiting, &heap[place / 2]); place /= 2)
        put(place, heap[place / 2]);
    put(place, waiting);
}

static void sink(uint32_t place, struct waiting waiting)
{
    for (uint32_t child; (child = place * 2) <= count; place = child) {
        child += child < count && before(&heap[child + 1], &heap[child]);
        if (!before(&heap[child], &waiting))
            break;
        put(place, heap[child]);
    }
    put(place, waiting);
}

void schedule_cancel(struct due *due)
{
    uint32_t place = due->place;
    if (place == 0)
        return;
    due->place = 0;
    struct waiting last = heap[count--];
    if (last.due == due)
        return;
    if (place > 1 && before(&last, &heap[place / 2]))
        rise(place, last);
    else
        sink(place, last);
}

void schedule_at(struct due *due, uint64_t at_us)
{
    schedule_cancel(due);
    if (count + 1 == MOST)
        abort();
    rise(++count, (struct waiting){at_us, ++order, due});
}

void schedule_after(struct due *due, uint64_t us)
{
    schedule_at(due, schedule_now_us() + us);
}

/* ---- threads ---- */

static void turn(void *data)
{
    struct thread *thread = data;
    thread->turn_due = false;
    if (thread->take_turn(thread))
        thread_touch(thread);
}

static struct due *turn_of(struct thread *thread)
{
    uint32_t i = 0;
    while (i < turning_count && turning[i] != thread)
        ++i;
    if (i == THREADS)
        abort();
    if (i == turning_count) {
        turning[turning_count++] = thread;
        turns[i] = (struct due){.run = turn, .data = thread, .on = thread};
    }
    return &turns[i];
}

void thread_touch(struct thread *thread)
{
    if (thread->turn_due || thread->dead)
        return;
    thread->turn_due = true;
    schedule_after(turn_of(thread), chance_below(&chance_of_order, thread->pace_us + 1));
}

void thread_run(struct thread *thread, void (*what)(void *data), void *data)
{
    struct thread *before_it = thread_now;
    thread_now = thread;
    what(data);
    thread_now = before_it;
    if (thread != NULL && what != turn)
        thread_touch(thread);
}

/* ---- time passes ---- */

static void run_first(void)
{
    struct waiting first = heap[1];
    struct thread *on = first.due->on;
    if (on != NULL && on->busy_until_us > now_us && !on->dead) {
        schedule_at(first.due, on->busy_until_us);
        return;
    }
    *schedule_now_ms = now_us / 1000;
    schedule_cancel(first.due);
    if (on != NULL && on->dead)
        return;
    schedule_note(now_us);
    thread_run(on, first.due->run, first.due->data);
}

void schedule_run(uint64_t until_us)
{
    while (count != 0 && heap[1].at_us <= until_us) {
        uint64_t passed = now_us + drift_us;
        drift_us = 0;
        now_us = heap[1].at_us > passed ? heap[1].at_us : passed;
        run_first();
    }
    drift_us = 0;
    now_us = until_us > now_us ? until_us : now_us;
}
