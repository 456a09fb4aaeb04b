/* The queue of history reads, over a real Redis: how much is under way, in what order, and what becomes of reads that Redis does not survive. */
#include "proto/bus/history.h"

#include "runtime/log.h"
#include "tests/unit/redis_server.h"

static struct redis *redis;
static struct history *history;
static unsigned lost;

struct page {
    unsigned calls, order;
    size_t count, bytes;
    bool more;
    struct position first, last;
    char why[200];
};

static unsigned answers;

static void on_page(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct page *page = data;
    *page = (struct page){.calls = page->calls + 1, .order = ++answers, .count = count, .more = more};
    snprintf(page->why, sizeof(page->why), "%s", why == NULL ? "" : why);
    for (size_t i = 0; i < count; ++i)
        page->bytes += entries[i].payload.n;
    if (count != 0) {
        page->first = entries[0].at;
        page->last = entries[count - 1].at;
    }
}

static void on_lost(void *data, const char *why)
{
    (void)data;
    (void)why;
    ++lost;
}

static void disconnect(void)
{
    redis_close(redis);
    history_close(history);
}

static void connect_to(const struct server *server)
{
    static struct redis_url url;
    struct redis_options options = options_for(url_of(&url, "unix://%s", server->sock));
    options.on_lost = on_lost;
    lost = 0;
    redis = redis_open(&options);
    history = history_open(redis);
    run_until(redis_ready(redis));
}

/* Entries 5-FIRST … of `bytes` each. */
static void fill(struct server *server, const char *channel, unsigned first, unsigned count, size_t bytes)
{
    char *text = h2o_mem_alloc(bytes + 1);
    memset(text, 'x', bytes);
    text[bytes] = 0;
    for (unsigned i = 0; i < count; ++i)
        freeReplyObject(server_do(server, "XADD {sse:%s}:log 5-%u m %s", channel, first + i, text));
    free(text);
}

/* Reads all of it, backwards or not; the most bytes of one answer. */
static size_t page_through(struct slice channel, bool backwards, size_t *entries, unsigned *pages)
{
    struct page page = {0};
    struct position at = backwards ? POSITION_MAX : POSITION_NONE;
    size_t most = 0;
    *entries = *pages = 0;
    do {
        page.calls = 0;
        struct history_read *read = backwards ? history_before(history, channel, at, 10000, on_page, &page)
                                              : history_after(history, channel, at, 10000, on_page, &page);
        if (read == NULL || !run_until(page.calls == 1) || page.why[0] != 0)
            bail_out("no page");
        *entries += page.count;
        ++*pages;
        most = page.bytes > most ? page.bytes : most;
        at = backwards ? page.first : page.last;
    } while (page.more);
    return most;
}

static void check_sizes(struct server *server)
{
    size_t entries, most;
    unsigned pages;
    fill(server, "large", 1, 300, 100000);
    most = page_through(SLICE("large"), false, &entries, &pages);
    check(entries == 300 && most <= 16 * 100000, "nothing is known of a channel: a first answer of 16 entries at most (%zu bytes)",
          most);
    most = page_through(SLICE("large"), false, &entries, &pages);
    check(entries == 300 && most <= HISTORY_ANSWER_BYTES, "then answers of moderate size (%zu bytes)", most);
    most = page_through(SLICE("large"), true, &entries, &pages);
    check(entries == 300 && most <= HISTORY_ANSWER_BYTES, "backwards, too");
    fill(server, "huge", 1, 3, 2 * HISTORY_WINDOW_BYTES);
    page_through(SLICE("huge"), false, &entries, &pages);
    page_through(SLICE("huge"), false, &entries, &pages);
    check(entries == 3 && pages >= 3, "an entry larger than all that may be under way is read alone (%u reads)", pages);
    fill(server, "small", 1, 1000, 10);
    page_through(SLICE("small"), false, &entries, &pages);
    check(entries == 1000 && pages < 25, "small entries are read many at once (%u reads)", pages);
}

/* Bytes of the answers that Redis holds for us. */
static size_t output_of(struct server *server)
{
    redisReply *reply = server_do(server, "CLIENT LIST TYPE normal");
    size_t most = 0;
    for (const char *at = reply->str; (at = strstr(at, " omem=")) != NULL; ++at) {
        size_t n = (size_t)strtoull(at + 6, NULL, 10);
        most = n > most ? n : most;
    }
    freeReplyObject(reply);
    return most;
}

static void check_window(struct server *server)
{
    enum { READS = 200 };
    static struct page pages[READS];
    struct page other = {0};
    fill(server, "other", 1, 10, 10);
    for (unsigned i = 0; i < READS; ++i)
        if (history_after(history, SLICE("large"), POSITION_NONE, 1000, on_page, &pages[i]) == NULL)
            bail_out("not asked");
    check(history_after(history, SLICE("other"), POSITION_NONE, 1000, on_page, &other) != NULL, "asked behind two hundred");
    h2o_evloop_run(loop, 1); /* sends; what Redis answers stays there, for nobody reads */
    usleep(100000);
    size_t held = output_of(server);
    check(held < 2 * HISTORY_WINDOW_BYTES, "Redis holds no more than may be under way (%zu bytes)", held);
    check(run_until(other.calls == 1) && other.order - pages[0].order < 20, "a storm on one channel lets another have its turn");
    check(run_until(pages[READS - 1].calls == 1), "and all of it is read in the end");
}

static void check_cancel(void)
{
    enum { READS = 50 };
    static struct page pages[READS];
    struct history_read *reads[READS];
    struct page urgent = {0};
    for (unsigned i = 0; i < READS; ++i)
        reads[i] = history_after(history, SLICE("large"), POSITION_NONE, 1000, on_page, &pages[i]);
    struct history_read *hurried = history_after(history, SLICE("large"), POSITION_NONE, 1, on_page, &urgent);
    check(hurried != NULL && reads[READS - 1] != NULL, "asked");
    history_hurry(hurried);
    for (unsigned i = 0; i < READS - 1; ++i)
        history_cancel(reads[i]);
    check(run_until(pages[READS - 1].calls == 1), "the one that is left is answered");
    check(urgent.calls == 1 && urgent.order < pages[READS - 1].order, "after the one that was hurried");
    unsigned called = 0;
    for (unsigned i = 0; i < READS - 1; ++i)
        called += pages[i].calls;
    check(called == 0, "cancelled ones are not called back");
}

/* Asks until it is answered. */
static bool read_in_the_end(struct page *page, struct slice channel, struct position after)
{
    for (uint64_t end = clock_ms() + DEADLINE_MS; clock_ms() < end; h2o_evloop_run(loop, 10)) {
        page->calls = 0;
        if (history_after(history, channel, after, 1000, on_page, page) != NULL && run_until(page->calls == 1) && page->why[0] == 0)
            return true;
    }
    return false;
}

/* Asks until it is refused without a call. */
static bool blocked_in_the_end(struct page *page, struct slice channel)
{
    bool told = false;
    for (uint64_t end = clock_ms() + DEADLINE_MS; clock_ms() < end; h2o_evloop_run(loop, 10)) {
        page->calls = 0;
        if (!redis_ready(redis))
            continue;
        if (history_after(history, channel, POSITION_NONE, 1000, on_page, page) == NULL)
            return told;
        run_until(page->calls == 1);
        told = strstr(page->why, "Redis closes the connection when") != NULL;
    }
    return false;
}

/* Redis closes a connection for which it holds larger answers than its limit. */
static void check_loss(struct server *server)
{
    struct page page = {0};
    server_set(server, "CONFIG SET client-output-buffer-limit %s", "normal 300000 0 0");
    fill(server, "mixed", 1, 200, 10);
    fill(server, "mixed", 201, 40, 100000);
    for (struct position at = POSITION_NONE; at.seq < 200; at = page.last)
        if (!read_in_the_end(&page, SLICE("mixed"), at))
            bail_out("not read");
    lost = 0;
    check(read_in_the_end(&page, SLICE("mixed"), (struct position){5, 200}) && page.count >= 1 && page.first.seq == 201,
          "a read that was too large comes again smaller, until it passes");
    check(lost >= 1 && lost <= 4, "after few losses (%u)", lost);
    fill(server, "fatal", 1, 1, 2000000);
    disconnect();
    connect_to(server); /* without the delay that the losses before have left */
    check(blocked_in_the_end(&page, SLICE("fatal")), "what not even a read of one entry passes is given up, with a sentence");
    unsigned before = lost;
    check(read_in_the_end(&page, SLICE("other"), POSITION_NONE) && lost == before, "and other channels are read");
    server_set(server, "CONFIG SET client-output-buffer-limit %s", "normal 0 0 0");
    check(read_in_the_end(&page, SLICE("fatal"), POSITION_NONE) && page.count == 1 && lost == before, "but not for ever");
}

int main(void)
{
    struct server server = {.name = "history"};
    log_set_level(LOG_ERROR);
    servers_init();
    server_start(&server);
    connect_to(&server);
    check_sizes(&server);
    check_window(&server);
    check_cancel();
    check_loss(&server);
    disconnect();
    server_stop(&server, SIGTERM);
    return check_end();
}
