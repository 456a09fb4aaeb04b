#include "proto/bus/history.h"

#include <assert.h>
#include <stdlib.h>

#include "runtime/h2o.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"
#include "runtime/seeded_hash.h"

enum {
    FIRST_ENTRIES = 16, /* asked for while nothing is known of a channel */
    GUESSED_BYTES = 4096, /* of an entry, as long */
    ENTRIES_MAX = HISTORY_WINDOW_ENTRIES / 2, /* of one read */
    WINDOW_MIN = 16 << 10,
    CUT_MS = 600000, /* what a loss made smaller grows slowly for so long */
    STRIKES = 3, /* so often one entry, read alone, lost the connection: the channel can't be read */
    BLOCK_MIN_MS = 1000, /* … for so long, doubled each time */
    BLOCK_MAX_MS = 60000,
    IDLE_MAX = 1024, /* channels remembered that nobody reads */
};

enum lane_state {
    LANE_IDLE, /* in history->idle */
    LANE_WAITING, /* reads wait: in history->turns */
    LANE_BUSY, /* reads are under way, none waits */
};

/* One channel's reads, and what is known of its entries. */
struct lane {
    struct history *history;
    enum lane_state state;
    h2o_linklist_t link; /* by state */
    h2o_linklist_t waiting; /* struct history_read, the next first */
    uint32_t under_way;
    size_t size; /* of an entry, bytes; 0: not known */
    size_t most; /* entries that one read may ask for */
    uint64_t cut_ms; /* when a loss made `most` smaller; 0: never */
    bool alone; /* a read of one entry was lost: the next one is, too, and nothing else is under way beside it */
    uint32_t strikes; /* how many of these were lost */
    uint64_t block_ms, blocked_until_ms;
    UT_hash_handle hh;
    size_t name_len;
    char name[];
};

struct history_read {
    struct lane *lane;
    h2o_linklist_t link; /* in lane->waiting; unlinked when sent */
    history_cb cb; /* NULL: cancelled after it was sent */
    void *data;
    struct position from;
    bool backwards;
    size_t limit;
    size_t count, estimate; /* asked for, once sent; bytes */
};

struct history {
    struct redis *redis;
    struct lane *lanes; /* uthash by name */
    h2o_linklist_t turns; /* lanes, in the order of their turns */
    h2o_linklist_t idle; /* lanes, idle for the longest first */
    uint32_t idle_count;
    uint32_t reads; /* under way */
    size_t entries, bytes; /* of them, at most; by estimate */
    size_t window; /* `bytes` may reach this */
    uint64_t cut_ms; /* when a loss made the window smaller; 0: never */
    bool exclusive; /* the read under way is to be alone */
    bool losing; /* the connection went: what was under way is being called back */
    bool lost_one; /* … and it was a single read */
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool cut_lately(uint64_t cut_ms)
{
    return cut_ms != 0 && monotonic_ms() - cut_ms < CUT_MS;
}

/* ---- lanes ---- */

static struct slice name_of(const struct lane *lane)
{
    return slice_make(lane->name, lane->name_len);
}

static void forget_oldest(struct history *history)
{
    struct lane *oldest = H2O_STRUCT_FROM_MEMBER(struct lane, link, list_take(&history->idle));
    --history->idle_count;
    HASH_DEL(history->lanes, oldest);
    free(oldest);
}

static void leave_state(struct lane *lane)
{
    if (h2o_linklist_is_linked(&lane->link))
        h2o_linklist_unlink(&lane->link);
    if (lane->state == LANE_IDLE)
        --lane->history->idle_count;
}

static void enter_state(struct lane *lane, enum lane_state state)
{
    struct history *history = lane->history;
    lane->state = state;
    if (state == LANE_WAITING)
        h2o_linklist_insert(&history->turns, &lane->link);
    if (state == LANE_IDLE) {
        h2o_linklist_insert(&history->idle, &lane->link);
        if (++history->idle_count > IDLE_MAX)
            forget_oldest(history);
    }
}

/* After its reads have become more or fewer. A lane that goes on waiting keeps its turn. */
static void settle(struct lane *lane)
{
    enum lane_state next = !h2o_linklist_is_empty(&lane->waiting) ? LANE_WAITING : lane->under_way != 0 ? LANE_BUSY : LANE_IDLE;
    if (next == lane->state)
        return;
    leave_state(lane);
    enter_state(lane, next);
}

static struct lane *find_lane(const struct history *history, struct slice channel)
{
    struct lane *lane;
    HASH_FIND(hh, history->lanes, channel.p, channel.n, lane);
    return lane;
}

static struct lane *lane_of(struct history *history, struct slice name)
{
    struct lane *lane = find_lane(history, name);
    if (lane != NULL)
        return lane;
    lane = h2o_mem_alloc(sizeof(*lane) + name.n);
    *lane = (struct lane){.history = history, .most = FIRST_ENTRIES, .name_len = name.n};
    memcpy(lane->name, name.p, name.n);
    h2o_linklist_init_anchor(&lane->waiting);
    HASH_ADD_KEYPTR(hh, history->lanes, lane->name, lane->name_len, lane);
    enter_state(lane, LANE_IDLE);
    return lane;
}

/* ---- what an answer teaches ---- */

/* An entry's size is believed to be what was seen lately, rather too large than too small. */
static void learn(struct lane *lane, const struct history_answer *answer)
{
    size_t average = answer->count == 0 ? lane->size : answer->bytes / answer->count;
    lane->size = average > lane->size ? average : (lane->size * 15 + average) / 16;
    lane->alone = false;
    lane->strikes = 0;
    lane->block_ms = 0;
    if (answer->count >= lane->most)
        lane->most = least(ENTRIES_MAX, cut_lately(lane->cut_ms) ? lane->most + 1 : lane->most * 2);
}

static void widen(struct history *history)
{
    if (history->window == HISTORY_WINDOW_BYTES || cut_lately(history->cut_ms))
        return;
    history->window = least(HISTORY_WINDOW_BYTES, history->window * 2);
    history->cut_ms = monotonic_ms();
}

/* ---- what a loss teaches ---- */

/* Redis may have closed the connection because of what was under way (client-output-buffer-limit, maxmemory-clients): there will be less of it. */
static void begin_loss(struct history *history)
{
    if (history->losing)
        return;
    history->losing = true;
    history->lost_one = history->reads == 1;
    history->window = history->window / 2 < WINDOW_MIN ? WINDOW_MIN : history->window / 2;
    history->cut_ms = monotonic_ms();
}

static void block(struct lane *lane)
{
    uint64_t ms = lane->block_ms == 0 ? BLOCK_MIN_MS : lane->block_ms * 2;
    lane->block_ms = ms < BLOCK_MAX_MS ? ms : BLOCK_MAX_MS;
    lane->blocked_until_ms = monotonic_ms() + lane->block_ms;
    log_warn("a history cannot be read: Redis closes the connection whenever its next event is read (is client-output-buffer-limit "
             "or maxmemory-clients too small?)",
             log_slice("channel", name_of(lane)), log_int("again_in_ms", (int64_t)lane->block_ms));
}

/* Returns why the read failed: `why`, unless it is known better. */
static const char *learn_loss(struct lane *lane, const struct history_read *read, const char *why)
{
    if (read->count > 1) {
        lane->most = read->count / 16 == 0 ? 1 : read->count / 16;
        lane->cut_ms = monotonic_ms();
        return why;
    }
    lane->alone = true;
    if (!lane->history->lost_one || ++lane->strikes < STRIKES)
        return why;
    block(lane);
    return history_deadly;
}

/* ---- sending ---- */

/* How much the read may ask for, now. */
static void measure(struct history_read *read)
{
    const struct lane *lane = read->lane;
    size_t size = lane->size != 0 ? lane->size : GUESSED_BYTES;
    size_t by_size = lane->size == 0 ? ENTRIES_MAX : least(HISTORY_ANSWER_BYTES, lane->history->window) / size;
    size_t count = lane->alone ? 1 : least(least(read->limit, lane->most), by_size);
    read->count = count == 0 ? 1 : count;
    read->estimate = read->count * size;
}

static bool fits(const struct history *history, const struct history_read *read)
{
    if (history->reads == 0)
        return true;
    return !history->exclusive && !read->lane->alone && history->bytes + read->estimate <= history->window &&
           history->entries + read->count <= HISTORY_WINDOW_ENTRIES;
}

static void on_answer(void *data, const struct history_answer *answer);

static bool send_read(struct history *history, struct history_read *read)
{
    struct lane *lane = read->lane;
    struct history_range range = {.channel = name_of(lane), .from = read->from, .backwards = read->backwards, .count = read->count};
    if (!history_range_send(history->redis, &range, on_answer, read))
        return false;
    h2o_linklist_unlink(&read->link);
    ++history->reads;
    history->bytes += read->estimate;
    history->entries += read->count;
    history->exclusive = lane->alone;
    ++lane->under_way;
    h2o_linklist_unlink(&lane->link); /* its next turn comes after those of the others */
    h2o_linklist_insert(&history->turns, &lane->link);
    settle(lane);
    return true;
}

/* Sends what there is room for. The next in turn is not overtaken, so that a large read finds its room. */
static void send_what_fits(struct history *history)
{
    while (!h2o_linklist_is_empty(&history->turns)) {
        struct lane *lane = H2O_STRUCT_FROM_MEMBER(struct lane, link, history->turns.next);
        struct history_read *read = H2O_STRUCT_FROM_MEMBER(struct history_read, link, lane->waiting.next);
        measure(read);
        if (!fits(history, read) || !send_read(history, read))
            return;
    }
}

static void forget(struct history_read *read)
{
    struct lane *lane = read->lane;
    h2o_linklist_unlink(&read->link);
    free(read);
    settle(lane);
}

static void fail_waiting(struct history *history, const char *why)
{
    while (!h2o_linklist_is_empty(&history->turns)) {
        struct lane *lane = H2O_STRUCT_FROM_MEMBER(struct lane, link, history->turns.next);
        struct history_read *read = H2O_STRUCT_FROM_MEMBER(struct history_read, link, lane->waiting.next);
        history_cb cb = read->cb;
        void *cb_data = read->data;
        forget(read);
        cb(cb_data, NULL, 0, false, why);
    }
}

static void on_answer(void *data, const struct history_answer *answer)
{
    struct history_read *read = data;
    struct lane *lane = read->lane;
    struct history *history = lane->history;
    const char *why = answer->why;
    if (answer->lost)
        begin_loss(history);
    --history->reads;
    --lane->under_way;
    history->bytes -= read->estimate;
    history->entries -= read->count;
    history->exclusive = false;
    if (answer->lost) {
        why = learn_loss(lane, read, why);
    } else {
        learn(lane, answer);
        widen(history);
    }
    bool more = why == NULL && answer->count == read->count;
    history_cb cb = read->cb;
    void *cb_data = read->data;
    free(read);
    settle(lane);
    if (cb != NULL)
        cb(cb_data, answer->entries, answer->count, more, why);
    if (!history->losing)
        send_what_fits(history);
    if (history->reads == 0) {
        history->losing = false;
        fail_waiting(history, answer->lost
                                  ? answer->why
                                  : "too many bytes are waiting to be sent to Redis"); /* if any wait though nothing is under way */
    }
}

/* ---- interface ---- */

struct history *history_open(struct redis *redis)
{
    struct history *history = h2o_mem_alloc(sizeof(*history));
    *history = (struct history){.redis = redis, .window = HISTORY_WINDOW_BYTES};
    h2o_linklist_init_anchor(&history->turns);
    h2o_linklist_init_anchor(&history->idle);
    return history;
}

void history_close(struct history *history)
{
    assert(history->reads == 0 && h2o_linklist_is_empty(&history->turns));
    while (history->idle_count != 0)
        forget_oldest(history);
    free(history);
}

size_t history_entry_size(const struct history *history, struct slice channel)
{
    const struct lane *lane = find_lane(history, channel);
    return lane == NULL || lane->size == 0 ? GUESSED_BYTES : lane->size;
}

const char *history_left_alone(const struct history *history, struct slice channel)
{
    const struct lane *lane = find_lane(history, channel);
    return lane != NULL && lane->blocked_until_ms > monotonic_ms() ? history_deadly : NULL;
}

static struct history_read *ask(struct history *history, struct slice channel, struct history_read asked)
{
    if (!redis_ready(history->redis) || history_left_alone(history, channel) != NULL)
        return NULL;
    struct lane *lane = lane_of(history, channel);
    struct history_read *read = h2o_mem_alloc(sizeof(*read));
    *read = asked;
    read->lane = lane;
    h2o_linklist_insert(&lane->waiting, &read->link);
    settle(lane);
    send_what_fits(history);
    if (history->reads != 0)
        return read;
    forget(read);
    return NULL;
}

struct history_read *history_after(struct history *history, struct slice channel, struct position after, size_t limit,
                                   history_cb cb, void *data)
{
    return ask(history, channel, (struct history_read){.from = after, .limit = limit, .cb = cb, .data = data});
}

struct history_read *history_before(struct history *history, struct slice channel, struct position before, size_t limit,
                                    history_cb cb, void *data)
{
    return ask(history, channel, (struct history_read){.from = before, .backwards = true, .limit = limit, .cb = cb, .data = data});
}

void history_hurry(struct history_read *read)
{
    if (!h2o_linklist_is_linked(&read->link))
        return;
    h2o_linklist_unlink(&read->link);
    h2o_linklist_insert(read->lane->waiting.next, &read->link);
}

void history_cancel(struct history_read *read)
{
    if (h2o_linklist_is_linked(&read->link))
        forget(read);
    else
        read->cb = NULL;
}
