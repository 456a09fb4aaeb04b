/* Counting the newest events of a history backwards, beyond the ring: exact for each number that is asked for, whatever was asked before and whatever comes meanwhile. */
#include "gateway/feed/newest.h"

#include <stdlib.h>

#include "runtime/metrics.h"
#include "proto/message.h"
#include "tests/message.h"
#include "tests/unit/vectors.h"

enum { EVENTS = 3000, PAGE = 100 /* entries of one answer, at most */ };

static struct ring ring; /* empty */
static struct channel_shared shared;
static uint32_t entries_made, trimmed; /* entry N stands at N-0; those up to `trimmed` are gone */
static uint32_t strangers_each; /* of so many entries in a row the first half is nobody's events; 0: none is */
static bool away; /* reads fail */
static uint32_t entries_read, wakes, failures, found_none;

struct history_read {
    uint32_t before;
    size_t limit;
    history_cb cb;
    void *data;
};
static struct history_read *asked;

static bool is_event(uint32_t entry)
{
    return strangers_each == 0 || entry % strangers_each >= strangers_each / 2;
}

/* How many were published so far. */
static uint32_t handed_on(void)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i <= entries_made; ++i)
        count += is_event(i);
    return count;
}

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
    uint32_t last = entries_made;
    while (!is_event(last))
        --last;
    return (struct position){last, 0};
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

void channel_begins_with(struct channel *channel, struct position first, struct position newest)
{
    (void)channel;
    found_none += position_compare(first, newest) > 0;
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
    static char payloads[PAGE][128];
    struct history_read read = *asked;
    free(asked);
    asked = NULL;
    if (away) {
        read.cb(read.data, NULL, 0, false, "gone");
        return;
    }
    uint32_t there = read.before - 1 > trimmed ? read.before - 1 - trimmed : 0, count = there < PAGE ? there : PAGE;
    count = count < read.limit ? count : (uint32_t)read.limit;
    for (uint32_t i = 0; i != count; ++i) {
        struct position at = {read.before - count + i, 0};
        struct message message = {.at = at, .body = SLICE("data: x\n\n")};
        entries[i] = (struct history_entry){at, {NULL, 0}};
        if (is_event((uint32_t)at.ms))
            entries[i].payload = slice_make(payloads[i], message_encode(payloads[i], &message));
    }
    entries_read += count;
    read.cb(read.data, entries, count, count != there, NULL);
}

/* Where the newest n begin, with as many reads as it takes; `comes` events are published after each. */
static uint64_t find(struct newest *newest, uint32_t n, uint32_t comes)
{
    struct position after;
    for (int i = 0; i != 1000; ++i) {
        if (newest_find(newest, n, handed_on(), &after))
            return position_next(after).ms;
        check(asked != NULL, "it reads on");
        answer();
        entries_made += comes;
    }
    return UINT64_MAX;
}

static uint64_t due(uint32_t n)
{
    uint32_t at = 0;
    for (uint32_t i = entries_made; i > trimmed && n != 0; --i) {
        at = is_event(i) ? i : at;
        n -= is_event(i);
    }
    return at;
}

static void test_strangers(void)
{
    bool exact = true;
    entries_made = EVENTS;
    trimmed = 0;
    away = false;
    for (strangers_each = 2; strangers_each < 8 * PAGE; strangers_each = strangers_each * 2 + 1) {
        struct newest *newest = newest_create(NULL);
        for (uint32_t n = 1; n < EVENTS; n += 97)
            exact = find(newest, n, n % 3) == due(n) && exact;
        newest_close(newest);
    }
    check(exact, "entries of somebody else count for nothing");
    strangers_each = 0;
}

int main(void)
{
    metrics_thread();
    h2o_linklist_init_anchor(&shared.counted);
    struct newest *newest = newest_create(NULL);
    entries_made = EVENTS;
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
        entries_made += comes;
    }
    check(exact, "each is exact while more is published: %u events", entries_made);
    struct position after;
    newest_close(newest);
    newest = newest_create(NULL);
    check(!newest_find(newest, 1000, handed_on(), &after) && !newest_find(newest, 2000, handed_on(), &after), "two wait");
    while (asked != NULL)
        answer();
    check(newest_find(newest, 2000, handed_on(), &after) && position_next(after).ms == due(2000),
          "one count serves the deeper one");
    check(find(newest, 1000, 0) == due(1000), "and the other");
    check(!newest_find(newest, 2500, handed_on(), &after), "a deeper one counts on");
    away = true;
    answer();
    check(failures == 1 && asked == NULL, "a read that fails is told");
    away = false;
    newest_retry(newest);
    while (asked != NULL)
        answer();
    check(newest_find(newest, 2500, handed_on(), &after) && position_next(after).ms == due(2500), "and tried again");
    newest_close(newest);
    newest = newest_create(NULL);
    trimmed = entries_made - 10;
    check(find(newest, 100000, 0) == due(100000), "all, where there are fewer");
    trimmed = entries_made;
    newest_close(newest);
    newest = newest_create(NULL);
    check(find(newest, 5, 0) == entries_made, "none, where there are none: behind the newest there was");
    check(found_none == 1, "which the channel is told");
    newest_close(newest);
    check(shared.counted_count == 0, "nothing is kept");
    test_strangers();
    return check_end();
}
