#include "gateway/feed/search.h"

#include <stdlib.h>

#include "gateway/counters.h"
#include "gateway/feed/decode.h"
#include "runtime/monotonic.h"
#include "runtime/seeded_hash.h"

enum {
    SCAN_ENTRIES = 100, /* of one read: a scan ends with the first read that reaches the ring */
    KNOWN_MS = 5000, /* so long a result is remembered */
    KNOWN_MOST = 256, /* … and so many of those that nobody has asked for in the last scan */
};

/* An id that was asked for. */
struct wanted {
    enum { QUEUED, SCANNED, KNOWN } state;
    bool found;
    struct position at; /* the earliest event found with this id */
    struct position upto; /* the history was looked through up to here */
    uint64_t known_ms; /* monotonic_ms() when it became KNOWN */
    UT_hash_handle hh;
    size_t n;
    char id[];
};

struct search {
    struct channel *channel;
    struct wanted *wanted; /* uthash by id, the oldest first */
    uint32_t queued; /* so many of them are QUEUED */
    struct position at; /* the scan has come so far */
    struct history_read *reading; /* NULL: no scan is under way */
};

static void scan(struct search *search);

struct search *search_create(struct channel *channel)
{
    struct search *search = h2o_mem_alloc(sizeof(*search));
    *search = (struct search){.channel = channel};
    return search;
}

static void forget(struct search *search, struct wanted *wanted)
{
    HASH_DEL(search->wanted, wanted);
    free(wanted);
}

void search_close(struct search *search)
{
    if (search->reading != NULL)
        history_cancel(search->reading);
    for (struct wanted *wanted = search->wanted, *next; wanted != NULL; wanted = next) {
        next = wanted->hh.next;
        forget(search, wanted);
    }
    free(search);
}

/* ---- the scan ---- */

static void look_at(struct search *search, const struct history_entry *entry)
{
    struct message message;
    struct wanted *wanted;
    if (!payload_is_event(entry, &message) || message.id.n == 0)
        return;
    HASH_FIND(hh, search->wanted, message.id.p, message.id.n, wanted);
    if (wanted == NULL || wanted->state != SCANNED || wanted->found)
        return;
    wanted->found = true;
    wanted->at = entry->at;
}

static bool reaches_ring(const struct search *search)
{
    const struct ring *ring = channel_ring(search->channel);
    return ring->count != 0 && position_compare(search->at, ring_at(ring, 0)->prev) >= 0;
}

static void end_scan(struct search *search)
{
    uint64_t now_ms = monotonic_ms();
    for (struct wanted *wanted = search->wanted; wanted != NULL; wanted = wanted->hh.next) {
        if (wanted->state != SCANNED)
            continue;
        wanted->state = KNOWN;
        wanted->upto = search->at;
        wanted->known_ms = now_ms;
    }
    scan(search); /* for those that came meanwhile */
}

/* Queues the ids of the scan again, for when the channel retries. */
static void queue(struct search *search, struct wanted *wanted)
{
    wanted->state = QUEUED;
    ++search->queued;
}

static void give_up_scan(struct search *search)
{
    for (struct wanted *wanted = search->wanted; wanted != NULL; wanted = wanted->hh.next)
        if (wanted->state == SCANNED)
            queue(search, wanted);
}

static bool read_on(struct search *search);

static void on_entries(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct search *search = data;
    search->reading = NULL;
    for (size_t i = 0; i < count; ++i)
        look_at(search, &entries[i]);
    if (count != 0)
        search->at = entries[count - 1].at;
    if (why != NULL) {
        give_up_scan(search);
        channel_read_failed(search->channel, why);
    } else if (!more || reaches_ring(search)) {
        if (!more && position_compare(channel_newest(search->channel), search->at) > 0)
            search->at = channel_newest(search->channel); /* there is nothing in between */
        end_scan(search);
        channel_wake(search->channel);
    } else if (!read_on(search)) {
        give_up_scan(search);
        channel_read_failed(search->channel, "the connection to Redis was lost");
    }
}

static bool read_on(struct search *search)
{
    search->reading = channel_read_after(search->channel, search->at, SCAN_ENTRIES, on_entries, search);
    if (search->reading != NULL)
        metric_add(COUNT_HISTORY_READS, 1);
    return search->reading != NULL;
}

static void drop_old(struct search *search)
{
    uint64_t now_ms = monotonic_ms();
    unsigned most = HASH_COUNT(search->wanted);
    for (struct wanted *wanted = search->wanted, *next; wanted != NULL; wanted = next) {
        next = wanted->hh.next;
        if (wanted->state != KNOWN || (now_ms - wanted->known_ms < KNOWN_MS && most <= KNOWN_MOST))
            continue;
        forget(search, wanted);
        --most;
    }
}

/* Begins one if somebody waits, where the one that waits longest to be looked for begins. */
static void scan(struct search *search)
{
    bool any = false;
    if (search->reading != NULL || search->queued == 0)
        return;
    drop_old(search);
    search->queued = 0;
    for (struct wanted *wanted = search->wanted; wanted != NULL; wanted = wanted->hh.next) {
        if (wanted->state != QUEUED)
            continue;
        search->at = any && position_compare(search->at, wanted->upto) <= 0 ? search->at : wanted->upto;
        wanted->state = SCANNED;
        any = true;
    }
    if (!read_on(search))
        give_up_scan(search);
}

void search_retry(struct search *search)
{
    scan(search);
}

/* ---- asking ---- */

static struct wanted *want(struct search *search, struct slice id)
{
    struct wanted *wanted;
    HASH_FIND(hh, search->wanted, id.p, id.n, wanted);
    if (wanted != NULL)
        return wanted;
    wanted = h2o_mem_alloc(sizeof(*wanted) + id.n);
    *wanted = (struct wanted){.n = id.n};
    queue(search, wanted);
    memcpy(wanted->id, id.p, id.n);
    HASH_ADD_KEYPTR(hh, search->wanted, wanted->id, wanted->n, wanted);
    return wanted;
}

enum search_result search_find(struct search *search, struct slice id, struct position *at)
{
    bool in_ring = ring_find(channel_ring(search->channel), id, at);
    if (channel_covers(search->channel, POSITION_NONE))
        return in_ring ? SEARCH_FOUND : SEARCH_NOT_FOUND;
    struct wanted *wanted = want(search, id);
    if (wanted->state == KNOWN && !channel_covers(search->channel, wanted->upto))
        queue(search, wanted); /* looked for once more in what the ring has let go since */
    scan(search);
    if (wanted->state != KNOWN)
        return SEARCH_WAIT;
    if (wanted->found)
        *at = wanted->at; /* before all that the ring has */
    return wanted->found || in_ring ? SEARCH_FOUND : SEARCH_NOT_FOUND;
}
