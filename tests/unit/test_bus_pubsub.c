/* Subscribing, publishing and reading history, against real redis-server processes. */
#include "proto/bus/history.h"
#include "proto/bus/publish.h"
#include "proto/channel.h"
#include "runtime/redis/subscribe.h"
#include "proto/event.h"
#include "proto/event_id.h"
#include "proto/message.h"
#include "runtime/log.h"
#include "tests/unit/redis_server.h"

enum { MANY = 2000, BIG = 1 << 20, LOG_MAX = 64 };

/* ---- subscribing ---- */

struct seen {
    struct subscribe *subscribe;
    int subscribed, messages, lost;
    int ready;
    uint8_t confirmed[MANY]; /* by number */
    intptr_t last_tag; /* of a confirmation */
    intptr_t from; /* of a message */
    size_t n;
    char payload[BIG];
};

static struct seen seen;

static const struct subscription_events channel_events;

/* Of the channel with this number. */
static struct subscription *subscription_of(intptr_t number)
{
    static struct subscription all[MANY];
    all[number].events = &channel_events;
    return &all[number];
}

static intptr_t number_of(const struct subscription *subscription)
{
    return subscription - subscription_of(0);
}

static void on_subscribed(struct subscription *subscription)
{
    ++seen.subscribed;
    seen.last_tag = number_of(subscription);
    ++seen.confirmed[seen.last_tag];
}

static void on_message(struct subscription *subscription, struct slice payload)
{
    ++seen.messages;
    seen.from = number_of(subscription);
    seen.n = payload.n;
    memcpy(seen.payload, payload.p, payload.n < BIG ? payload.n : BIG);
}

static void on_connected(void *data)
{
    struct seen *s = data;
    s->ready += subscribe_ready(s->subscribe);
}

static void on_lost(void *data, const char *why)
{
    struct seen *s = data;
    ++s->lost;
    if (why == NULL)
        bail_out("lost without a reason");
}

static const struct subscription_events channel_events = {.on_subscribed = on_subscribed, .on_message = on_message};

static void open_subscriber(const struct redis_options *options)
{
    struct subscribe_events events = {.on_ready = on_connected, .on_lost = on_lost, .data = &seen};
    seen = (struct seen){.subscribe = subscribe_open(options, &events)};
}

static void add(const char *name, intptr_t tag)
{
    subscribe_add(seen.subscribe, pubsub(name), subscription_of(tag));
}

static void remove_channel(const char *name)
{
    subscribe_remove(seen.subscribe, pubsub(name));
}

static void check_payloads(struct server *server)
{
    static char big[BIG];
    static const struct {
        const char *what;
        struct slice payload;
    } rows[] = {
        {"text", {"{\"test\":\"hi\"}", 13}},
        {"nothing at all", {"", 0}},
        {"every kind of byte", {"\0\r\n\x1e\xff$5\r\n*3\r\n", 13}},
        {"a mebibyte", {big, BIG}},
        {"text after it", {"x", 1}},
    };
    for (size_t i = 0; i < BIG; ++i)
        big[i] = (char)(i * 2654435761u >> 24);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        int before = seen.messages;
        server_set(server, "PUBLISH sse:a %b", rows[i].payload.p, rows[i].payload.n);
        check(run_until(seen.messages == before + 1) && seen.from == 1, "%s arrives", rows[i].what);
        check(slice_eq(slice_make(seen.payload, seen.n), rows[i].payload), "%s arrives unchanged", rows[i].what);
    }
}

static void check_set(struct server *server)
{
    add("a", 1);
    check(!subscribe_ready(seen.subscribe) && subscribe_why(seen.subscribe) != NULL,
          "a channel can be added before there is a Redis");
    check(run_until(seen.subscribed == 1) && seen.last_tag == 1, "and is confirmed when there is");
    check(subscribe_ready(seen.subscribe) && server_listeners(server, "NUMSUB", "sse:a") == 1, "it is in the set");
    check_payloads(server);
    server_set(server, "PUBLISH sse:b other");
    server_set(server, "PUBLISH sse:a mine");
    int before = seen.messages;
    check(run_until(seen.messages > before) && seen.messages == before + 1 && seen.n == 4,
          "other channels' messages do not arrive");
    remove_channel("a");
    server_set(server, "PUBLISH sse:a late");
    check(run_until(server_listeners(server, "NUMSUB", "sse:a") == 0), "a removed channel is given up");
    check(seen.messages == before + 1, "and no message of it is delivered");
}

static void check_quick_changes(struct server *server)
{
    int confirmed = seen.subscribed;
    long long subscribes = server_info(server, "cmdstat_subscribe:calls="),
              unsubscribes = server_info(server, "cmdstat_unsubscribe:calls=");
    add("q", 2);
    remove_channel("q");
    add("other", 3);
    check(run_until(seen.subscribed == confirmed + 1) && seen.last_tag == 3,
          "what is added and removed in one turn is not confirmed");
    check(server_info(server, "cmdstat_subscribe:calls=") == subscribes + 1 &&
              server_info(server, "cmdstat_unsubscribe:calls=") == unsubscribes,
          "nor sent");

    add("q", 4);
    remove_channel("q");
    add("q", 5);
    check(run_until(seen.subscribed == confirmed + 2) && seen.last_tag == 5,
          "added, removed, added: the newest add is confirmed, once");

    /* SUBSCRIBE, UNSUBSCRIBE and SUBSCRIBE all leave while Redis stands still, so that the old confirmation comes after the new add */
    kill(server->pid, SIGSTOP);
    add("r", 6);
    for (int i = 0; i < 5; ++i)
        h2o_evloop_run(loop, 2);
    remove_channel("r");
    for (int i = 0; i < 5; ++i)
        h2o_evloop_run(loop, 2);
    add("r", 7);
    for (int i = 0; i < 5; ++i)
        h2o_evloop_run(loop, 2);
    kill(server->pid, SIGCONT);
    check(run_until(seen.subscribed > confirmed + 2) && seen.last_tag == 7,
          "over several turns: an old confirmation is not taken for the new");
    server_set(server, "PUBLISH sse:r new");
    int before = seen.messages;
    check(run_until(seen.messages == before + 1) && seen.from == 7 && seen.subscribed == confirmed + 3,
          "messages carry the newest tag");

    remove_channel("r");
    add("r", 8);
    server_set(server, "PUBLISH sse:r between");
    check(run_until(seen.subscribed == confirmed + 4) && seen.last_tag == 8, "removed and added in one turn: confirmed anew");
    check(seen.messages == before + 1, "and nothing is delivered before");
    remove_channel("r");
    remove_channel("q");
    remove_channel("other");
    check(run_until(server_listeners(server, "NUMSUB", "sse:r") + server_listeners(server, "NUMSUB", "sse:q") +
                        server_listeners(server, "NUMSUB", "sse:other") ==
                    0),
          "all are given up");
}

static void check_restore(struct server *server)
{
    char name[32];
    int missing = 0, twice = 0;
    for (int i = 0; i < MANY; ++i) {
        snprintf(name, sizeof(name), "many/%d", i);
        add(name, i);
    }
    seen.subscribed = 0;
    check(run_until(seen.subscribed == MANY), "%d channels are confirmed", MANY);
    remove_channel("many/7");
    long long calls = server_info(server, "cmdstat_subscribe:calls=");
    int lost = seen.lost;
    seen.subscribed = 0;
    memset(seen.confirmed, 0, sizeof(seen.confirmed));
    server_set(server, "CLIENT KILL TYPE pubsub");
    check(run_until(seen.lost == lost + 1), "a killed connection is noticed");
    check(run_until(seen.subscribed == MANY - 1), "all channels are confirmed again");
    for (int i = 0; i < MANY; ++i) {
        missing += i != 7 && seen.confirmed[i] == 0;
        twice += seen.confirmed[i] > 1;
    }
    check(missing == 0 && twice == 0 && seen.confirmed[7] == 0, "each once, but not the one removed meanwhile");
    calls = server_info(server, "cmdstat_subscribe:calls=") - calls;
    check(calls == 4, "in commands of at most 500 (%d commands)", (int)calls);
    server_set(server, "PUBLISH sse:many/1999 x");
    int before = seen.messages;
    check(run_until(seen.messages == before + 1) && seen.from == 1999, "messages arrive again");

    server_stop(server, SIGKILL);
    check(run_until(seen.lost == lost + 2) && !subscribe_ready(seen.subscribe), "a killed Redis is noticed");
    remove_channel("many/8");
    add("many/7", 7);
    seen.subscribed = 0;
    server_start(server);
    check(run_until(seen.subscribed == MANY - 1) && server_listeners(server, "NUMSUB", "sse:many/8") == 0 &&
              server_listeners(server, "NUMSUB", "sse:many/7") == 1,
          "after a restart the set is what it became meanwhile");
    check(seen.ready == 1 + seen.lost, "each connection announces itself");
}

static void check_subscriber(struct server *server)
{
    struct redis_url url;
    struct redis_options options = options_for(url_of(&url, "unix://%s", server->sock));
    open_subscriber(&options);
    check_set(server);
    check_quick_changes(server);
    check_restore(server);
    subscribe_close(seen.subscribe);
}

static void check_subscriber_silence(struct server *server)
{
    struct redis_url url;
    struct redis_options options = options_for(url_of(&url, "unix://%s", server->sock));
    options.reply_timeout_ms = options.connect_timeout_ms = 800;
    open_subscriber(&options);
    add("a", 1);
    run_until(seen.subscribed == 1);
    long long pings = server_info(server, "cmdstat_ping:calls=");
    check(run_until(server_info(server, "cmdstat_ping:calls=") >= pings + 3), "an idle subscriber is pinged");
    remove_channel("a");
    pings = server_info(server, "cmdstat_ping:calls=");
    check(run_until(server_info(server, "cmdstat_ping:calls=") >= pings + 3),
          "also without a channel, where PING is answered differently");
    check(seen.lost == 0, "and stays");
    kill(server->pid, SIGSTOP);
    add("a", 1);
    check(run_until(seen.lost == 1), "a Redis that does not confirm is found");
    kill(server->pid, SIGCONT);
    check(run_until(seen.subscribed == 2), "and subscribed to when it goes on");
    subscribe_close(seen.subscribe);
}

/* ---- history ---- */

struct page {
    int calls;
    size_t count;
    bool more;
    struct history_entry entries[LOG_MAX]; /* payloads copied to text */
    char text[LOG_MAX][64];
    char why[200];
};

static void on_page(void *data, const struct history_entry *entries, size_t count, bool more, const char *why)
{
    struct page *page = data;
    ++page->calls;
    page->count = count;
    page->more = more;
    snprintf(page->why, sizeof(page->why), "%s", why == NULL ? "" : why);
    for (size_t i = 0; i < count && i < LOG_MAX; ++i) {
        page->entries[i] = entries[i];
        snprintf(page->text[i], sizeof(page->text[i]), "%.*s", (int)entries[i].payload.n, entries[i].payload.p);
    }
}

static void idle_ready(void *data)
{
    *(bool *)data = true;
}

static void check_history(struct server *server)
{
    struct redis_url url;
    bool ready = false;
    struct redis_options options = options_for(url_of(&url, "unix://%s", server->sock));
    options.on_ready = idle_ready;
    options.data = &ready;
    struct redis *redis = redis_open(&options);
    struct history *history = history_open(redis);
    struct page page = {0};
    struct slice name = SLICE("h");
    check(!history_after(history, name, POSITION_NONE, 10, on_page, &page), "without a connection no page is asked for");
    run_until(ready);
    check(history_after(history, name, POSITION_NONE, 10, on_page, &page) && run_until(page.calls == 1) && page.count == 0 &&
              !page.more && page.why[0] == 0,
          "an absent history is empty");
    for (int i = 1; i <= 25; ++i)
        server_set(server, "XADD {sse:h}:log 5-%d m payload-%d", i, i);
    size_t got = 0, pages = 0;
    bool ordered = true;
    struct position at = POSITION_NONE;
    do {
        page.calls = 0;
        if (!history_after(history, name, at, 10, on_page, &page) || !run_until(page.calls == 1))
            bail_out("no page");
        for (size_t i = 0; i < page.count; ++i) {
            char want[32];
            snprintf(want, sizeof(want), "payload-%zu", ++got);
            ordered = ordered && page.entries[i].at.ms == 5 && page.entries[i].at.seq == got && strcmp(page.text[i], want) == 0;
            at = page.entries[i].at;
        }
        ++pages;
    } while (page.more);
    check(pages == 3 && got == 25 && ordered, "paging forward finds all entries once, oldest first");
    page.calls = 0;
    check(history_before(history, name, POSITION_MAX, 5, on_page, &page) && run_until(page.calls == 1) && page.count == 5,
          "the newest five");
    check(page.entries[0].at.seq == 21 && page.entries[4].at.seq == 25, "are turned round: oldest first");
    server_set(server, "XADD {sse:h}:log 6-0 other x m mine");
    server_set(server, "XADD {sse:h}:log 7-0 other x");
    page.calls = 0;
    check(history_before(history, name, POSITION_MAX, 2, on_page, &page) && run_until(page.calls == 1) &&
              strcmp(page.text[0], "mine") == 0,
          "the payload is the field m wherever it stands");
    check(page.entries[1].payload.p == NULL && page.entries[1].at.ms == 7, "an entry of somebody else has none");
    server_set(server, "SET {sse:w}:log x");
    page.calls = 0;
    check(history_before(history, SLICE("w"), POSITION_MAX, 2, on_page, &page) && run_until(page.calls == 1) &&
              strstr(page.why, "something else") != NULL,
          "a key of another type: %s", page.why);
    page.calls = 0;
    check(history_before(history, name, POSITION_MAX, 2, on_page, &page), "asked for");
    redis_close(redis);
    check(page.calls == 1 && page.why[0] != 0, "and called back when the connection goes: %s", page.why);
    history_close(history);
}

/* ---- publishing ---- */

struct answer {
    int calls;
    enum publish_outcome outcome;
    char id[64];
    struct position at;
    char why[300];
    int outcomes[PUBLISH_FAILED + 1];
};

static void on_answer(void *data, const struct publish_answer *from)
{
    struct answer *to = data;
    ++to->calls;
    ++to->outcomes[from->outcome];
    to->outcome = from->outcome;
    to->at = from->at;
    snprintf(to->id, sizeof(to->id), "%.*s", (int)from->id.n, from->id.n == 0 ? "" : from->id.p);
    snprintf(to->why, sizeof(to->why), "%s", from->why == NULL ? "" : from->why);
}

static struct publish_request request(const char *channel, const char *data)
{
    return (struct publish_request){.channel = slice_of(channel),
                                    .data = slice_of(data),
                                    .retry_ms = 6000,
                                    .history_len = 1000,
                                    .history_bytes = 1 << 25,
                                    .history_ttl_s = 3600,
                                    .data_max = 1 << 21};
}

static struct answer send_one(struct publish *publish, struct publish_request what)
{
    struct answer answer = {0};
    publish_send(publish, &what, on_answer, &answer);
    if (!run_until(answer.calls == 1))
        bail_out("no answer");
    return answer;
}

static bool same_place(const struct answer *a, const struct answer *b)
{
    return strcmp(a->id, b->id) == 0 && position_compare(a->at, b->at) == 0;
}

static void check_outcomes(struct publish *publish)
{
    struct publish_request what = request("p", "line one\nline two");
    what.type = SLICE("note");
    struct answer first = send_one(publish, what);
    struct position at;
    check(first.outcome == PUBLISH_DONE, "published %s", first.why);
    check(event_id_parse(&at, slice_of(first.id), what.channel) && position_compare(at, first.at) == 0,
          "the id holds the position");
    check(run_until(seen.messages == 1), "the subscriber has it");
    struct message message;
    const char *fault = message_decode(&message, slice_make(seen.payload, seen.n));
    if (check(fault == NULL && message.kind == MESSAGE_DURABLE, "in the durable form")) {
        char want[200];
        snprintf(want, sizeof(want), "event: note\ndata: line one\ndata: line two\nid: %s\nretry: 6000\n\n", first.id);
        check_slice(message.body, slice_of(want), "its bytes are the event's");
        check(position_compare(message.at, first.at) == 0, "its position is the answer's");
    }

    what = request("p", "keyed");
    what.key = SLICE("k1");
    what.id = SLICE("my-id");
    what.retry_ms = EVENT_RETRY_NONE;
    first = send_one(publish, what);
    check(first.outcome == PUBLISH_DONE && strcmp(first.id, "my-id") == 0, "an own id is kept");
    struct answer again = send_one(publish, what);
    check(again.outcome == PUBLISH_DUPLICATE && same_place(&first, &again), "the same key and id: the first answer again");
    what.key = SLICE("");
    again = send_one(publish, what);
    check(again.outcome == PUBLISH_DUPLICATE && same_place(&first, &again), "the same id alone as well");

    what = request("p", "same");
    what.only_changed = true;
    first = send_one(publish, what);
    again = send_one(publish, what);
    check(first.outcome == PUBLISH_DONE && again.outcome == PUBLISH_UNCHANGED && same_place(&first, &again), "unchanged data");
    what = request("counter", "ignored");
    what.count = true;
    first = send_one(publish, what);
    again = send_one(publish, what);
    check(first.outcome == PUBLISH_DONE && again.outcome == PUBLISH_DONE && position_compare(first.at, again.at) < 0, "counting");
    what = request("p", "x");
    what.type = SLICE("two\nlines");
    first = send_one(publish, what);
    check(first.outcome == PUBLISH_REFUSED && strncmp(first.why, "event ", 6) == 0, "refused: %s", first.why);
}

static long long stream_length(struct server *server, const char *key)
{
    redisReply *reply = server_do(server, "XLEN %s", key);
    long long n = reply->integer;
    freeReplyObject(reply);
    return n;
}

static void check_flushed_library(struct server *server, struct publish *publish)
{
    struct answer answer = {0};
    server_set(server, "FUNCTION FLUSH");
    long long loads = server_info(server, "cmdstat_function|load:calls=");
    for (int i = 0; i < 100; ++i) {
        struct publish_request what = request("flushed", "x");
        publish_send(publish, &what, on_answer, &answer);
    }
    check(run_until(answer.calls == 100) && answer.outcomes[PUBLISH_DONE] == 100, "100 publishes under way survive FUNCTION FLUSH");
    check(stream_length(server, "{sse:flushed}:log") == 100, "each is published once");
    check(server_info(server, "cmdstat_function|load:calls=") == loads + 1, "with one load for all of them");
    check(publish_ready(publish), "it is ready as before");
}

static void check_bus_down(struct server *server, struct publish *publish)
{
    struct publish_request what = request("down", "x");
    server_set(server, "CONFIG SET maxmemory 1");
    struct answer answer = send_one(publish, what);
    check(answer.outcome == PUBLISH_UNWRITABLE, "no memory: %s", answer.why);
    check(!publish_ready(publish) && strcmp(publish_why(publish), answer.why) == 0, "it is not ready, for this reason");
    server_set(server, "CONFIG SET maxmemory 0");
    server_set(server, "REPLICAOF 127.0.0.1 1");
    answer = send_one(publish, what);
    check(answer.outcome == PUBLISH_UNWRITABLE && strstr(answer.why, "read-only") != NULL, "a replica: %s", answer.why);
    server_set(server, "REPLICAOF NO ONE");
    check(send_one(publish, what).outcome == PUBLISH_DONE && publish_ready(publish), "both are over when they are over");
    server_set(server, "CONFIG SET maxmemory 1");
    check(run_until(!publish_ready(publish)), "without a publish it is found out, too");
    server_set(server, "CONFIG SET maxmemory 0");
    check(run_until(publish_ready(publish)), "and that it is over");

    answer = (struct answer){0};
    kill(server->pid, SIGSTOP);
    for (int i = 0; i < 3; ++i)
        publish_send(publish, &what, on_answer, &answer);
    for (int i = 0; i < 5; ++i)
        h2o_evloop_run(loop, 2);
    check(answer.calls == 0 && publish_ready(publish), "three are under way");
    server_stop(server, SIGKILL);
    check(run_until(answer.calls == 3) && answer.outcomes[PUBLISH_BUS_DOWN] == 3 && strstr(answer.why, "Idempotency-Key") != NULL,
          "when Redis dies: %s", answer.why);
    answer = (struct answer){0};
    publish_send(publish, &what, on_answer, &answer);
    check(answer.calls == 1 && answer.outcome == PUBLISH_BUS_DOWN && strcmp(answer.why, publish_why(publish)) == 0,
          "then the answer is there at once: %s", answer.why);
    server_start(server);
    check(run_until(publish_ready(publish)) && publish_why(publish) == NULL, "ready with the restarted Redis");
    check(send_one(publish, what).outcome == PUBLISH_DONE, "which has got the library");
}

static void check_rate(struct server *server, struct publish *publish)
{
    enum { EVENTS = 5000, TURN = 500 };
    static char data[256];
    struct answer answer = {0};
    memset(data, 'x', sizeof(data) - 1);
    uint64_t start = clock_ms();
    for (int i = 0; i < EVENTS; i += TURN) {
        for (int k = 0; k < TURN; ++k) {
            struct publish_request what = request("rate", data);
            publish_send(publish, &what, on_answer, &answer);
        }
        h2o_evloop_run(loop, 0);
    }
    check(run_until(answer.calls == EVENTS) && answer.outcomes[PUBLISH_DONE] == EVENTS, "%d publishes in a row are done", EVENTS);
    printf("# %d publishes in %d ms, Redis included\n", EVENTS, (int)(clock_ms() - start));
    server_set(server, "DEL {sse:rate}:log");
}

static void check_publisher(struct server *server)
{
    struct redis_url url;
    struct redis_options options = options_for(url_of(&url, "redis://127.0.0.1:%d", server->port));
    struct publish *publish = publish_open(&options, 0);
    open_subscriber(&options);
    add("p", 1);
    check(!publish_ready(publish) && publish_why(publish) != NULL, "not ready at first: %s", publish_why(publish));
    check(run_until(publish_ready(publish) && seen.subscribed == 1) && publish_why(publish) == NULL,
          "ready once the library is loaded");
    check_outcomes(publish);
    check_flushed_library(server, publish);
    check_rate(server, publish);
    check_bus_down(server, publish);
    subscribe_close(seen.subscribe);

    struct answer answer = {0};
    struct publish_request what = request("p", "x");
    publish_send(publish, &what, on_answer, &answer);
    publish_close(publish);
    check(answer.calls == 1 && answer.outcome == PUBLISH_BUS_DOWN, "closing answers what is under way");
}

static void check_no_functions(void)
{
    static const struct {
        const char *name;
        const char *config[16];
        const char *user, *why;
    } rows[] = {
        {"old", {"--rename-command", "FUNCTION", ""}, "", "Redis is too old: functions need version 7"},
        {"noperm",
         {"--user", "low", "on", ">pw", "~*", "&*", "+@all", "-function"},
         "low:pw@",
         "the Redis user may not load functions (needs +function|load)"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct server server = {.name = rows[i].name, .config = rows[i].config};
        struct redis_url url;
        server_start(&server);
        struct redis_options options = options_for(url_of(&url, "unix://%s%s", rows[i].user, server.sock));
        struct publish *publish = publish_open(&options, 0);
        check(run_until(publish_ready(publish) || strcmp(publish_why(publish), rows[i].why) == 0), "%s", rows[i].why);
        struct answer answer = send_one(publish, request("p", "x"));
        check(answer.outcome == PUBLISH_BUS_DOWN && strcmp(answer.why, rows[i].why) == 0, "publishing says so, too");
        long long before = server_info(&server, "total_connections_received:");
        check(run_until(server_info(&server, "total_connections_received:") > before + 1), "and it is tried again");
        check(!publish_ready(publish) && strcmp(publish_why(publish), rows[i].why) == 0, "with the same result");
        publish_close(publish);
        server_stop(&server, SIGKILL);
    }
}

int main(void)
{
    struct server server = {.name = "main"};
    log_set_level(LOG_ERROR);
    servers_init();
    server_start(&server);
    check_subscriber(&server);
    check_subscriber_silence(&server);
    check_history(&server);
    check_publisher(&server);
    check_no_functions();
    server_stop(&server, SIGTERM);
    return check_end();
}
