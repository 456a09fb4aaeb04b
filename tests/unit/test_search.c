#include "gateway/feed/search.h"

#include "gateway/counters.h"
#include "proto/message.h"
#include "tests/check.h"
#include "tests/message.h"

/* A channel whose history is told entry by entry; what search.c asks of channel.c is answered here. */
enum { MOST = 300, PAYLOAD_MOST = 128 };

struct channel {
    struct ring ring;
    struct position last;
    struct history_entry entries[MOST];
    char payloads[MOST][PAYLOAD_MOST];
    size_t count;
    bool away;
    uint32_t reads, wakes, failures;
    struct position after; /* of the read under way */
    size_t limit;
    history_cb cb;
    void *data;
};

static struct ring_memory memory;
static const struct ring_limits roomy = {.frames = 1000, .bytes = 1 << 20, .memory = &memory};

const struct ring *channel_ring(const struct channel *channel)
{
    return &channel->ring;
}

struct position channel_newest(const struct channel *channel)
{
    return channel->last;
}

bool channel_covers(const struct channel *channel, struct position after)
{
    const struct ring *ring = &channel->ring;
    return position_compare(ring->count == 0 ? channel->last : ring_at(ring, 0)->prev, after) <= 0;
}

void channel_wake(struct channel *channel)
{
    ++channel->wakes;
}

void channel_read_failed(struct channel *channel, const char *why)
{
    (void)why;
    ++channel->failures;
}

struct history_read *channel_read_after(const struct channel *channel, struct position after, size_t limit, history_cb cb,
                                        void *data)
{
    struct channel *mine = (struct channel *)(uintptr_t)channel;
    if (mine->away)
        return NULL;
    ++mine->reads;
    mine->after = after;
    mine->limit = limit;
    mine->cb = cb;
    mine->data = data;
    return (struct history_read *)mine;
}

void history_cancel(struct history_read *read)
{
    ((struct channel *)read)->cb = NULL;
}

static struct position at(uint64_t ms)
{
    return (struct position){ms, 0};
}

static void add(struct channel *channel, const char *id, bool in_ring)
{
    uint64_t ms = channel->count + 1;
    char sse[PAYLOAD_MOST / 2], *payload = channel->payloads[channel->count];
    int n = snprintf(sse, sizeof(sse), "event: message\ndata: x\nid: %s\n\n", id);
    n = (int)message_encode(payload, &(struct message){.at = at(ms), .prev = at(ms - 1), .body = slice_make(sse, (size_t)n)});
    channel->entries[channel->count++] = (struct history_entry){at(ms), slice_make(payload, (size_t)n)};
    channel->last = at(ms);
    struct message message;
    if (in_ring && message_decode(&message, slice_make(payload, (size_t)n)) == NULL) {
        struct frame *frame = frame_of_message(&message, message.id);
        ring_append(&channel->ring, frame, &roomy);
        frame_unref(frame);
    }
}

/* Answers the read under way. */
static void answer(struct channel *channel)
{
    size_t first = (size_t)channel->after.ms, n = channel->count - first < channel->limit ? channel->count - first : channel->limit;
    history_cb cb = channel->cb;
    channel->cb = NULL;
    cb(channel->data, channel->entries + first, n, first + n < channel->count, NULL);
}

static bool finds(struct search *search, const char *id, uint64_t ms)
{
    struct position found;
    return search_find(search, slice_of(id), &found) == SEARCH_FOUND && found.ms == ms;
}

static bool is(struct search *search, const char *id, enum search_result result)
{
    struct position found;
    return search_find(search, slice_of(id), &found) == result;
}

static void dispose(struct channel *channel, struct search *search)
{
    search_close(search);
    ring_clear(&channel->ring);
    free(channel);
}

static struct channel *make(uint32_t beyond, uint32_t in_ring)
{
    struct channel *channel = calloc(1, sizeof(*channel));
    char id[16];
    for (uint32_t i = 1; i <= beyond + in_ring; ++i) {
        snprintf(id, sizeof(id), "id %u", (unsigned)i);
        add(channel, id, i > beyond);
    }
    return channel;
}

static void test_ring(void)
{
    struct channel *channel = make(0, 10);
    struct search *search = search_create(channel);
    check(finds(search, "id 7", 7) && is(search, "none", SEARCH_NOT_FOUND) && channel->reads == 0,
          "a ring that holds the whole history is not read beyond");
    dispose(channel, search);
}

static void test_scan(void)
{
    struct channel *channel = make(150, 10);
    struct search *search = search_create(channel);
    check(is(search, "id 120", SEARCH_WAIT) && is(search, "id 3", SEARCH_WAIT) && is(search, "none", SEARCH_WAIT) &&
              channel->reads == 1,
          "what is not in the ring is looked for by a read");
    answer(channel);
    check(channel->reads == 2 && channel->wakes == 0, "… and the next, while the ring is not reached");
    answer(channel);
    check(channel->reads == 3 && channel->wakes == 1, "who came while the scan was under way share the next one");
    answer(channel);
    answer(channel);
    check(channel->reads == 4 && finds(search, "id 120", 120) && finds(search, "id 3", 3) && is(search, "none", SEARCH_NOT_FOUND),
          "all find what they asked for");
    check(is(search, "none", SEARCH_NOT_FOUND) && channel->reads == 4, "what was not found is remembered");
    add(channel, "none", true);
    check(finds(search, "none", 161) && channel->reads == 4, "until an event comes with that id");
    dispose(channel, search);
}

static void test_earliest(void)
{
    struct channel *channel = make(20, 0);
    add(channel, "id 5", true);
    struct search *search = search_create(channel);
    check(is(search, "id 5", SEARCH_WAIT), "an id in the ring may have been used before");
    answer(channel);
    check(finds(search, "id 5", 5), "… and the earliest event counts");
    dispose(channel, search);
}

static void test_failure(void)
{
    struct channel *channel = make(20, 5);
    struct search *search = search_create(channel);
    channel->away = true;
    check(is(search, "id 4", SEARCH_WAIT) && channel->reads == 0, "without a connection it waits");
    channel->away = false;
    search_retry(search);
    check(channel->reads == 1, "… and reads when told to try again");
    channel->cb(channel->data, NULL, 0, false, "gone");
    check(channel->failures == 1 && is(search, "id 4", SEARCH_WAIT), "a read that failed is told of, and asked for once more");
    answer(channel);
    check(finds(search, "id 4", 4), "… until it is answered");
    is(search, "other", SEARCH_WAIT);
    search_close(search);
    check(channel->cb == NULL, "a search that is closed gives its read up");
    ring_clear(&channel->ring);
    free(channel);
}

int main(void)
{
    counters_init();
    metrics_thread();
    ring_memory_init(&memory, 1 << 20);
    test_ring();
    test_scan();
    test_earliest();
    test_failure();
    return check_end();
}
