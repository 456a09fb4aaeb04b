#include "gateway/feed/search.h"

#include "gateway/counters.h"
#include "proto/message.h"
#include "tests/check.h"

/* A channel whose history is told entry by entry; what search.c asks of source.c is answered here. */
enum { MOST = 300, PAYLOAD_MOST = 128 };

struct source {
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

const struct ring *source_ring(const struct source *source)
{
    return &source->ring;
}

struct position source_last(const struct source *source)
{
    return source->last;
}

bool source_bare(const struct source *source)
{
    (void)source;
    return false;
}

void source_wake(struct source *source)
{
    ++source->wakes;
}

void source_read_failed(struct source *source, const char *why)
{
    (void)why;
    ++source->failures;
}

struct history_read *source_read_after(const struct source *source, struct position after, size_t limit, history_cb cb, void *data)
{
    struct source *mine = (struct source *)(uintptr_t)source;
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
    ((struct source *)read)->cb = NULL;
}

static struct position at(uint64_t ms)
{
    return (struct position){ms, 0};
}

static void add(struct source *source, const char *id, bool in_ring)
{
    uint64_t ms = source->count + 1;
    char sse[PAYLOAD_MOST / 2], *payload = source->payloads[source->count];
    int n = snprintf(sse, sizeof(sse), "event: message\ndata: x\nid: %s\n\n", id);
    n = (int)message_encode(payload, at(ms), at(ms - 1), slice_make(sse, (size_t)n));
    source->entries[source->count++] = (struct history_entry){at(ms), slice_make(payload, (size_t)n)};
    source->last = at(ms);
    struct message message;
    if (in_ring && message_decode(&message, slice_make(payload, (size_t)n)) == NULL) {
        struct frame *frame = frame_of_message(&message);
        ring_append(&source->ring, frame, &roomy);
        frame_unref(frame);
    }
}

/* Answers the read under way. */
static void answer(struct source *source)
{
    size_t first = (size_t)source->after.ms, n = source->count - first < source->limit ? source->count - first : source->limit;
    history_cb cb = source->cb;
    source->cb = NULL;
    cb(source->data, source->entries + first, n, first + n < source->count, NULL);
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

static void dispose(struct source *source, struct search *search)
{
    search_close(search);
    ring_clear(&source->ring);
    free(source);
}

static struct source *make(uint32_t beyond, uint32_t in_ring)
{
    struct source *source = calloc(1, sizeof(*source));
    char id[16];
    for (uint32_t i = 1; i <= beyond + in_ring; ++i) {
        snprintf(id, sizeof(id), "id %u", (unsigned)i);
        add(source, id, i > beyond);
    }
    return source;
}

static void test_ring(void)
{
    struct source *source = make(0, 10);
    struct search *search = search_create(source);
    check(finds(search, "id 7", 7) && is(search, "none", SEARCH_NOT_FOUND) && source->reads == 0,
          "a ring that holds the whole history is not read beyond");
    dispose(source, search);
}

static void test_scan(void)
{
    struct source *source = make(150, 10);
    struct search *search = search_create(source);
    check(is(search, "id 120", SEARCH_WAIT) && is(search, "id 3", SEARCH_WAIT) && is(search, "none", SEARCH_WAIT) &&
              source->reads == 1,
          "what is not in the ring is looked for by a read");
    answer(source);
    check(source->reads == 2 && source->wakes == 0, "… and the next, while the ring is not reached");
    answer(source);
    check(source->reads == 3 && source->wakes == 1, "who came while the scan was under way share the next one");
    answer(source);
    answer(source);
    check(source->reads == 4 && finds(search, "id 120", 120) && finds(search, "id 3", 3) && is(search, "none", SEARCH_NOT_FOUND),
          "all find what they asked for");
    check(is(search, "none", SEARCH_NOT_FOUND) && source->reads == 4, "what was not found is remembered");
    add(source, "none", true);
    check(finds(search, "none", 161) && source->reads == 4, "until an event comes with that id");
    dispose(source, search);
}

static void test_earliest(void)
{
    struct source *source = make(20, 0);
    add(source, "id 5", true);
    struct search *search = search_create(source);
    check(is(search, "id 5", SEARCH_WAIT), "an id in the ring may have been used before");
    answer(source);
    check(finds(search, "id 5", 5), "… and the earliest event counts");
    dispose(source, search);
}

static void test_failure(void)
{
    struct source *source = make(20, 5);
    struct search *search = search_create(source);
    source->away = true;
    check(is(search, "id 4", SEARCH_WAIT) && source->reads == 0, "without a connection it waits");
    source->away = false;
    search_retry(search);
    check(source->reads == 1, "… and reads when told to try again");
    source->cb(source->data, NULL, 0, false, "gone");
    check(source->failures == 1 && is(search, "id 4", SEARCH_WAIT), "a read that failed is told of, and asked for once more");
    answer(source);
    check(finds(search, "id 4", 4), "… until it is answered");
    is(search, "other", SEARCH_WAIT);
    search_close(search);
    check(source->cb == NULL, "a search that is closed gives its read up");
    ring_clear(&source->ring);
    free(source);
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
