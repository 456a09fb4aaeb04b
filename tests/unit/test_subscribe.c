/* What one channel may not do to the others of a subscriber connection, against a real redis-server. */
#include "runtime/redis/subscribe.h"

#include "proto/channel.h"
#include "runtime/log.h"
#include "tests/unit/redis_server.h"

enum { MIXED = 700, LARGE = 30000, UNDER_WAY_MAX = 5000 };

static struct {
    struct subscribe *subscribe;
    int subscribed, refused, lost;
    uint8_t confirmed[LARGE]; /* by number */
    char why[80];
} seen;

static const struct subscription_events channel_events;

/* Of the channel with this number. */
static struct subscription *subscription_of(intptr_t number)
{
    static struct subscription all[LARGE];
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
    ++seen.confirmed[number_of(subscription)];
}

static void on_message(struct subscription *subscription, struct slice payload)
{
    (void)subscription;
    (void)payload;
}

static void on_refused(struct subscription *subscription, const char *why)
{
    (void)subscription;
    ++seen.refused;
    snprintf(seen.why, sizeof(seen.why), "%s", why);
}

static void on_lost(void *data, const char *why)
{
    (void)data;
    (void)why;
    ++seen.lost;
}

static const struct subscription_events channel_events = {
    .on_subscribed = on_subscribed, .on_message = on_message, .on_refused = on_refused};

static void open_as(const struct server *server, const char *user)
{
    static const struct subscribe_events events = {.on_lost = on_lost};
    static struct redis_url url;
    memset(&seen, 0, sizeof(seen));
    struct redis_options options = options_for(url_of(&url, "unix://%s%s", user, server->sock));
    seen.subscribe = subscribe_open(&options, &events);
}

static const char *numbered(const char *prefix, int number)
{
    static char name[32];
    snprintf(name, sizeof(name), "%s%d", prefix, number);
    return name;
}

static void add(const char *name, intptr_t tag)
{
    subscribe_add(seen.subscribe, pubsub(name), subscription_of(tag));
}

static void take_out(const char *name)
{
    subscribe_remove(seen.subscribe, pubsub(name));
}

static bool is_secret(int i)
{
    return i == 3 || i == 450 || i == 699;
}

/* Redis refuses a whole SUBSCRIBE for one channel: the others must be subscribed, and one that was removed meanwhile must not be. */
static void check_forbidden(struct server *server)
{
    int right = 0;
    server_set(server, "ACL SETUSER picky on >pw ~* resetchannels &sse:open* +@all");
    open_as(server, "picky:pw@");
    for (int i = 0; i < MIXED; ++i)
        add(numbered(is_secret(i) ? "secret" : "open", i), i);
    run_until(subscribe_ready(seen.subscribe));
    take_out("open100");
    check(run_until(seen.refused == 3 && seen.subscribed == MIXED - 4), "%d of %d channels are subscribed, %d refused",
          seen.subscribed, MIXED, seen.refused);
    check(strcmp(seen.why, "the Redis user may not subscribe to this channel") == 0, "and why is said: %s", seen.why);
    for (int i = 0; i < MIXED; ++i)
        right += seen.confirmed[i] == (is_secret(i) || i == 100 ? 0 : 1);
    check(right == MIXED && seen.lost == 0, "each once, on the same connection");
    check(run_until(server_listeners(server, "NUMSUB", "sse:open100") == 0) && subscribe_under_way(seen.subscribe) == 0,
          "none that was removed");
    take_out("secret3");
    add("open3", 3);
    check(run_until(seen.confirmed[3] == 1), "a refused one can go, and the connection goes on");
    server_set(server, "CLIENT KILL TYPE pubsub");
    check(run_until(seen.lost == 1 && seen.refused == 5), "the others are asked for again, after a reconnect only");
    subscribe_close(seen.subscribe);
    server_set(server, "ACL SETUSER deaf on >pw ~* resetchannels +@all");
    open_as(server, "deaf:pw@");
    add("a", 1);
    check(run_until(seen.refused == 1) && seen.lost == 0 && seen.subscribed == 0, "who may hear nothing is told for each channel");
    subscribe_close(seen.subscribe);
}

/* A large set comes a part at a time: Redis never owes more than so many confirmations, whatever waits. */
static void check_large(struct server *server)
{
    size_t most = 0;
    open_as(server, "");
    for (int i = 0; i < LARGE; ++i)
        add(numbered("large/", i), i);
    uint64_t end_ms = clock_ms() + DEADLINE_MS;
    while (seen.subscribed != LARGE && clock_ms() < end_ms) {
        h2o_evloop_run(loop, 10);
        most = subscribe_under_way(seen.subscribe) > most ? subscribe_under_way(seen.subscribe) : most;
    }
    check(seen.subscribed == LARGE && most > 0 && most <= UNDER_WAY_MAX, "%d channels are confirmed, %zu under way at most",
          seen.subscribed, most);
    server_set(server, "CLIENT KILL TYPE pubsub");
    check(run_until(seen.lost == 1 && seen.subscribed == 2 * LARGE), "and again after a reconnect");
    for (int i = 0; i < LARGE; i += 2)
        take_out(numbered("large/", i));
    add("large/0", 0);
    check(run_until(seen.confirmed[0] == 3 && server_listeners(server, "NUMSUB", "sse:large/2") == 0),
          "half of them go, and one comes back");
    check(server_listeners(server, "NUMSUB", "sse:large/1") == 1 && server_listeners(server, "NUMSUB", "sse:large/0") == 1,
          "the others stay");
    subscribe_close(seen.subscribe);
}

/* What is added and removed within one turn of the loop leaves as what it comes to. */
static void check_turn(struct server *server)
{
    static const struct {
        const char *before, *turn; /* +: added, -: removed */
        int confirmed, listeners;
    } rows[] = {
        {"", "+", 1, 1},   {"", "+-", 0, 0},   {"", "+-+", 1, 1},   {"+", "-", 1, 0},
        {"+", "-+", 2, 1}, {"+", "-+-", 1, 0}, {"+", "-+-+", 2, 1},
    };
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); ++row) {
        open_as(server, "");
        if (rows[row].before[0] == '+')
            add("turn", 0);
        run_until(subscribe_ready(seen.subscribe) && seen.confirmed[0] == strlen(rows[row].before));
        for (const char *change = rows[row].turn; *change != 0; ++change) {
            if (*change == '+')
                add("turn", 0);
            else
                take_out("turn");
        }
        add("last", 1);
        check(run_until(seen.confirmed[1] == 1 && server_listeners(server, "NUMSUB", "sse:turn") == rows[row].listeners) &&
                  seen.confirmed[0] == rows[row].confirmed,
              "'%s' and then '%s' in one turn: confirmed %d times, heard by %d", rows[row].before, rows[row].turn,
              rows[row].confirmed, rows[row].listeners);
        subscribe_close(seen.subscribe);
        run_until(server_listeners(server, "NUMSUB", "sse:turn") == 0);
    }
}

int main(void)
{
    struct server server = {.name = "main"};
    log_set_level(LOG_ERROR);
    servers_init();
    server_start(&server);
    check_forbidden(&server);
    check_large(&server);
    check_turn(&server);
    server_stop(&server, SIGTERM);
    return check_end();
}
