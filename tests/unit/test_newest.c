/* Counting the newest events of a history backwards, beyond the ring: exact for each number that is asked for, whatever was asked before and whatever comes meanwhile. */
#include "gateway/feed/newest.h"

#include <stdlib.h>

#include "runtime/metrics.h"
#include "tests/unit/vectors.h"

enum { EVENTS = 3000, PAGE = 100 /* entries of one answer, at most */ };

static struct ring ring; /* empty */
static struct channel_shared shared;
static uint32_t events, trimmed; /* event N stands at N-0; those up to `trimmed` are gone */
static bool away; /* reads fail */
static uint32_t entries_read, wakes, failures;

struct history_read {
    uint32_t before;
    size_t limit;
    history_cb cb;
    void *data;
};
static struct history_read *asked;

struct channel_shared *channel_shared(const struct channel *channel)
{
    (void)channel;
    return &shared;
}

const struct ring *channel_ring(const struct channel *channel)
{
    (void)channel;
    return &ring;
}

struct position channel_newest(const struct channel *channel)
{
    (void)channel;
    return (struct position){events, 0};
}

struct history_read *channel_read_before(const struct channel *channel, struct position before, size_t limit, history_cb cb,
                                         void *data)
{
    (void)channel;
    check(asked == NULL, "one read at a time");
    asked = h2o_mem_alloc(sizeof(*asked));
    *asked = (struct history_read){(uint32_t)before.ms + (before.seq != 0), limit, cb, data};
    return asked;
}

const char *channel_left_alone(const struct channel *channel)
{
    (void)channel;
    return NULL;
}

void channel_wake(struct channel *channel)
{
    (void)channel;
    ++wakes;
}

void channel_read_failed(struct channel *channel, const char *why)
{
    (void)channel, (void)why;
    ++failures;
}

void history_cancel(struct history_read *read)
{
    check(read == asked, "the read under way is cancelled");
    free(asked);
    asked = NULL;
}

static void answer(void)
{
    struct history_entry entries[PAGE];
    struct history_read read = *asked;
    free(asked);
    asked = NULL;
    if (away) {
        read.cb(read.data, NULL, 0, false, "gone");
        return;
    }
    uint32_t there = read.before - 1 > trimmed ? read.before - 1 - trimmed : 0, count = there < PAGE ? there : PAGE;
    count = count < read.limit ? count : (uint32_t)read.limit;
    for (uint32_t i = 0; i != count; ++i)
        entries[i] = (struct history_entry){{read.before - count + i, 0}, {NULL, 0}};
    entries_read += count;
    read.cb(read.data, entries, count, count != there, NULL);
}

/* Where the newest n begin, with as many reads as it takes; `comes` events are published after each. */
static uint64_t find(struct newest *newest, uint32_t n, uint32_t comes)
{
    struct position after;
    for (int i = 0; i != 1000; ++i) {
        if (newest_find(newest, n, events, &after))
            return position_next(after).ms;
        check(asked != NULL, "it reads on");
        answer();
        events += comes;
    }
    return UINT64_MAX;
}

static uint64_t due(uint32_t n)
{
    return events - trimmed > n ? events - n + 1 : trimmed + 1;
}

int main(void)
{
    metrics_thread();
    h2o_linklist_init_anchor(&shared.counted);
    struct newest *newest = newest_create(NULL);
    events = EVENTS;
    static const uint32_t numbers[] = {1, 500, 129, 128, 127, 2, 1000, 999, 1001, 5, 2999, 3000, 3001, 100000, 256, 257, 255, 2944};
    bool exact = true;
    for (size_t i = 0; i != sizeof(numbers) / sizeof(numbers[0]); ++i)
        exact = find(newest, numbers[i], 0) == due(numbers[i]) && exact;
    check(exact, "each number is exact, in any order");
    entries_read = 0;
    check(find(newest, 2944, 0) == due(2944) && entries_read == 0, "what was found last is known");
    check(find(newest, 2900, 0) == due(2900) && entries_read == 0, "so is what stands near it");
    check(find(newest, 100, 0) == due(100) && entries_read <= 128, "what stands elsewhere takes one block: %u entries",
          entries_read);
    uint64_t seed = 7;
    for (int i = 0; i != 300; ++i) {
        uint32_t n = 1 + (uint32_t)(random_next(&seed) % 3500);
        uint32_t comes = (uint32_t)(random_next(&seed) % 3);
        exact = find(newest, n, comes) == due(n) && exact;
        events += comes;
    }
    check(exact, "each is exact while more is published: %u events", events);
    struct position after;
    newest_close(newest);
    newest = newest_create(NULL);
    check(!newest_find(newest, 1000, events, &after) && !newest_find(newest, 2000, events, &after), "two wait");
    while (asked != NULL)
        answer();
    check(newest_find(newest, 2000, events, &after) && position_next(after).ms == due(2000), "one count serves the deeper one");
    check(find(newest, 1000, 0) == due(1000), "and the other");
    check(!newest_find(newest, 2500, events, &after), "a deeper one counts on");
    away = true;
    answer();
    check(failures == 1 && asked == NULL, "a read that fails is told");
    away = false;
    newest_retry(newest);
    while (asked != NULL)
        answer();
    check(newest_find(newest, 2500, events, &after) && position_next(after).ms == due(2500), "and tried again");
    newest_close(newest);
    newest = newest_create(NULL);
    trimmed = events - 10;
    check(find(newest, 100000, 0) == due(100000), "all, where there are fewer");
    trimmed = events;
    newest_close(newest);
    newest = newest_create(NULL);
    check(find(newest, 5, 0) == events, "none, where there are none: behind the newest there was");
    newest_close(newest);
    check(shared.counted_count == 0, "nothing is kept");
    return check_end();
}
