#include "gateway/feed/newest.h"

#include <stdlib.h>

#include "gateway/counters.h"

enum { KEPT = 64 }; /* channels whose positions are kept */

struct newest {
    struct channel *channel;
    h2o_linklist_t link; /* in shared->counted, asked longest ago first; while it has positions */
    /* Events have numbers, each one more than the one before it. */
    int64_t first_no; /* of positions[0], the newest; each next is one older */
    struct position *positions;
    uint32_t count, capacity;
    struct position begin; /* the ring's first event, or what comes after the last one of all: where counting began */
    bool whole; /* counted to the beginning of the history */
    uint32_t wanted; /* positions, as long as somebody waits; 0: nobody does */
    struct history_read *reading;
};

struct newest *newest_create(struct channel *channel)
{
    struct newest *newest = h2o_mem_alloc(sizeof(*newest));
    *newest = (struct newest){.channel = channel};
    return newest;
}

static void drop_positions(struct newest *newest)
{
    if (h2o_linklist_is_linked(&newest->link)) {
        h2o_linklist_unlink(&newest->link);
        --channel_shared(newest->channel)->counted_count;
    }
    free(newest->positions);
    newest->positions = NULL;
    newest->count = newest->capacity = 0;
    newest->whole = false;
}

void newest_close(struct newest *newest)
{
    if (newest->reading != NULL)
        history_cancel(newest->reading);
    drop_positions(newest);
    free(newest);
}

/* Asked last; the one that was asked longest ago may have to go. */
static void keep(struct newest *newest)
{
    struct channel_shared *shared = channel_shared(newest->channel);
    if (h2o_linklist_is_linked(&newest->link))
        h2o_linklist_unlink(&newest->link);
    else
        ++shared->counted_count;
    h2o_linklist_insert(&shared->counted, &newest->link);
    for (h2o_linklist_t *node = shared->counted.next, *next; shared->counted_count > KEPT && node != &newest->link; node = next) {
        struct newest *oldest = H2O_STRUCT_FROM_MEMBER(struct newest, link, node);
        next = node->next;
        if (oldest->wanted == 0)
            drop_positions(oldest);
    }
}

static void add(struct newest *newest, const struct history_entry *entries, size_t count)
{
    if (newest->count + count > newest->capacity) {
        newest->capacity = newest->count + (uint32_t)count > newest->wanted ? newest->count + (uint32_t)count : newest->wanted;
        newest->positions = h2o_mem_realloc(newest->positions, newest->capacity * sizeof(*newest->positions));
    }
    for (size_t i = count; i-- != 0;)
        newest->positions[newest->count++] = entries[i].at;
    keep(newest);
}

static void read_on(struct newest *newest);

static void on_entries(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct newest *newest = data;
    newest->reading = NULL;
    if (why != NULL) {
        channel_read_failed(newest->channel, why);
        return;
    }
    add(newest, entries, count);
    newest->whole = !more;
    if (more && newest->count < newest->wanted) {
        read_on(newest);
        return;
    }
    newest->wanted = 0;
    channel_wake(newest->channel);
}

static void read_on(struct newest *newest)
{
    struct position before = newest->count == 0 ? newest->begin : newest->positions[newest->count - 1];
    newest->reading = channel_read_before(newest->channel, before, newest->wanted - newest->count, on_entries, newest);
    const char *why = channel_left_alone(newest->channel);
    if (newest->reading != NULL)
        metric_add(COUNT_HISTORY_READS, 1);
    else
        channel_read_failed(newest->channel, why != NULL ? why : "the connection to Redis was lost"); /* newest may go with it */
}

void newest_retry(struct newest *newest)
{
    if (newest->reading == NULL && newest->wanted != 0)
        read_on(newest);
}

static void begin_anew(struct newest *newest, int64_t handed_on)
{
    const struct ring *ring = channel_ring(newest->channel);
    drop_positions(newest);
    newest->first_no = handed_on - ring->count;
    newest->begin = ring->count == 0 ? position_next(channel_newest(newest->channel)) : ring_at(ring, 0)->at;
}

bool newest_find(struct newest *newest, uint32_t n, uint64_t handed_on, struct position *after)
{
    int64_t no = (int64_t)handed_on - (int64_t)n + 1; /* of the oldest that is asked for */
    if (newest->reading == NULL && (no > newest->first_no || (newest->count == 0 && !newest->whole)))
        begin_anew(newest, (int64_t)handed_on);
    uint32_t index = no > newest->first_no ? 0 : (uint32_t)(newest->first_no - no);
    if (no <= newest->first_no && (index < newest->count || newest->whole)) {
        keep(newest);
        if (newest->count == 0)
            *after = position_before(newest->begin);
        else
            *after = position_before(newest->positions[index < newest->count ? index : newest->count - 1]);
        return true;
    }
    newest->wanted = index + 1 > newest->wanted ? index + 1 : newest->wanted;
    newest_retry(newest);
    return false;
}
