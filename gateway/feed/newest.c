#include "gateway/feed/newest.h"

#include <stdlib.h>

#include "gateway/counters.h"
#include "gateway/feed/decode.h"

enum {
    KEPT = 64, /* channels whose counts are kept */
    BLOCK = 128, /* positions that one mark stands for */
};

struct newest {
    struct channel *channel;
    h2o_linklist_t link; /* in shared->counted, asked longest ago first; while it has counted something */
    /* Events have numbers, each one more than the one before it. */
    int64_t first_no; /* of the newest that was counted */
    uint32_t count; /* from there backwards */
    struct position *marks; /* of each BLOCK-th of them, the newest first */
    uint32_t capacity; /* of marks */
    struct position block[BLOCK]; /* all positions from one mark on, as far as they are known */
    uint32_t block_no, block_count;
    bool block_ends; /* the history has none before these any more */
    struct position begin; /* the ring's first event, or what comes after the last one of all: where counting began */
    bool whole; /* counted to the beginning of the history */
    uint32_t wanted; /* events to be counted, as long as somebody waits; 0: nobody does */
    bool fills; /* the block is being read again */
    struct position
        before; /* the read goes on before this, where entries of somebody else were passed over, too; POSITION_NONE: it begins */
    struct history_read *reading;
};

struct newest *newest_create(struct channel *channel)
{
    struct newest *newest = h2o_mem_alloc(sizeof(*newest));
    *newest = (struct newest){.channel = channel};
    return newest;
}

static void forget(struct newest *newest)
{
    if (h2o_linklist_is_linked(&newest->link)) {
        h2o_linklist_unlink(&newest->link);
        --channel_shared(newest->channel)->counted_count;
    }
    free(newest->marks);
    newest->marks = NULL;
    newest->count = newest->capacity = newest->block_count = 0;
    newest->whole = newest->block_ends = newest->fills = false;
    newest->before = POSITION_NONE;
}

void newest_close(struct newest *newest)
{
    if (newest->reading != NULL)
        history_cancel(newest->reading);
    forget(newest);
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
        if (oldest->wanted == 0 && !oldest->fills)
            forget(oldest);
    }
}

static void add_mark(struct newest *newest, struct position at)
{
    uint32_t no = newest->count / BLOCK;
    if (no == newest->capacity) {
        newest->capacity = newest->capacity == 0 ? 1 : newest->capacity * 2;
        newest->marks = h2o_mem_realloc(newest->marks, newest->capacity * sizeof(*newest->marks));
    }
    newest->marks[no] = at;
    newest->block_no = no;
    newest->block_count = 0;
}

/* The block is always that of the event that was counted last. */
static void count_entries(struct newest *newest, const struct history_entry *entries, size_t count)
{
    newest->block_ends = false;
    struct message message;
    for (size_t i = count; i-- != 0;) {
        if (!payload_is_event(&entries[i], &message))
            continue;
        if (newest->count % BLOCK == 0)
            add_mark(newest, entries[i].at);
        newest->block[newest->block_count++] = entries[i].at;
        ++newest->count;
    }
    keep(newest);
}

static void read_on(struct newest *newest);

static void on_entries(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct newest *newest = data;
    struct channel *channel = newest->channel;
    newest->reading = NULL;
    if (why != NULL) {
        channel_read_failed(newest->channel, why);
        return;
    }
    bool goes_on;
    struct message message;
    if (newest->fills) {
        for (size_t i = count; i-- != 0;)
            if (payload_is_event(&entries[i], &message))
                newest->block[newest->block_count++] = entries[i].at;
        newest->block_ends = !more;
        goes_on = newest->fills = more && newest->block_count != BLOCK;
    } else {
        count_entries(newest, entries, count);
        newest->whole = !more;
        goes_on = more && newest->count < newest->wanted;
        newest->wanted = goes_on ? newest->wanted : 0;
    }
    newest->before = goes_on ? entries[0].at : POSITION_NONE;
    if (goes_on) {
        read_on(newest);
        return;
    }
    if (newest->count == 0) /* nothing before the ring, or nothing at all */
        channel_begins_with(channel, newest->begin, channel_newest(channel));
    channel_wake(channel); /* who still waits for more asks again */
}

/* Makes the block that of the event `index`, of which the mark is known. */
static void begin_block(struct newest *newest, uint32_t index)
{
    newest->block_no = index / BLOCK;
    newest->block[0] = newest->marks[newest->block_no];
    newest->block_count = 1;
    newest->block_ends = false;
}

/* Counting goes on in the last block, from its mark on where another one is in memory. */
static void go_to_end(struct newest *newest)
{
    uint32_t last = newest->count - 1;
    if (newest->count == 0 || (newest->block_no == last / BLOCK && newest->block_count == last % BLOCK + 1))
        return;
    begin_block(newest, last);
    newest->count = newest->block_no * BLOCK + 1;
}

static void read_on(struct newest *newest)
{
    if (!newest->fills)
        go_to_end(newest);
    struct position before = newest->block_count == 0 ? newest->begin : newest->block[newest->block_count - 1];
    if (!position_is_none(newest->before))
        before = newest->before;
    size_t limit = newest->fills ? BLOCK - newest->block_count : newest->wanted - newest->count;
    newest->reading = channel_read_before(newest->channel, before, limit, on_entries, newest);
    const char *why = channel_left_alone(newest->channel);
    if (newest->reading != NULL)
        metric_add(COUNT_HISTORY_READS, 1);
    else
        channel_read_failed(newest->channel, why != NULL ? why : "the connection to Redis was lost"); /* newest may go with it */
}

void newest_retry(struct newest *newest)
{
    if (newest->reading == NULL && (newest->wanted != 0 || newest->fills))
        read_on(newest);
}

static void begin_anew(struct newest *newest, int64_t handed_on)
{
    const struct ring *ring = channel_ring(newest->channel);
    forget(newest);
    newest->first_no = handed_on - ring->count;
    newest->begin = ring->count == 0 ? position_next(channel_newest(newest->channel)) : ring_at(ring, 0)->at;
}

/* Of the event `index`, or of the oldest there is. False: it is not in the block. */
static bool find_in_block(const struct newest *newest, uint32_t index, struct position *at)
{
    uint32_t in_block = index % BLOCK;
    if (newest->block_no != index / BLOCK || (in_block >= newest->block_count && !newest->block_ends))
        return false;
    *at = newest->block[in_block < newest->block_count ? in_block : newest->block_count - 1];
    return true;
}

bool newest_find(struct newest *newest, uint32_t n, uint64_t handed_on, struct position *after)
{
    int64_t no = (int64_t)handed_on - (int64_t)n + 1; /* of the oldest that is asked for */
    struct position at = newest->begin;
    if (newest->reading == NULL && (no > newest->first_no || (newest->count == 0 && !newest->whole)))
        begin_anew(newest, (int64_t)handed_on);
    uint32_t index = no > newest->first_no ? 0 : (uint32_t)(newest->first_no - no);
    if (newest->whole && index >= newest->count)
        index = newest->count == 0 ? 0 : newest->count - 1;
    bool counted = no <= newest->first_no && (index < newest->count || newest->whole);
    if (counted && (newest->count == 0 || find_in_block(newest, index, &at))) {
        if (newest->count != 0)
            keep(newest);
        *after = position_before(newest->count == 0 ? newest->begin : at);
        return true;
    }
    if (!counted) {
        newest->wanted = index + 1 > newest->wanted ? index + 1 : newest->wanted;
    } else if (newest->reading == NULL && !newest->fills && newest->wanted == 0) {
        begin_block(newest, index);
        newest->fills = true;
    }
    newest_retry(newest);
    return false;
}
