/* The connection, against real redis-server processes. */
#include "runtime/redis/redis.h"

#include <sys/un.h>

#include "runtime/log.h"
#include "tests/unit/redis_server.h"

static unsigned silence_ms = 800;

/* What happened to one connection. */
struct seen {
    struct redis *redis;
    int ready, lost;
    char why[200]; /* of the last loss */
    int answers, failed;
    bool ordered; /* each integer answer was one above the last */
    bool drop; /* the next answer drops the connection */
    int again; /* so many answers queue one more command each */
    long long last;
    char text[200];
};

static void on_ready(void *data)
{
    ++((struct seen *)data)->ready;
}

static void on_lost(void *data, const char *why)
{
    struct seen *seen = data;
    ++seen->lost;
    snprintf(seen->why, sizeof(seen->why), "%s", why);
    if (redis_ready(seen->redis))
        bail_out("on_lost while ready");
}

static void on_reply(void *data, const redisReply *reply, const char *why)
{
    struct seen *seen = data;
    if (reply == NULL) {
        ++seen->failed;
        snprintf(seen->text, sizeof(seen->text), "%s", why);
        return;
    }
    ++seen->answers;
    if (reply->type == REDIS_REPLY_INTEGER) {
        seen->ordered = seen->ordered && reply->integer == seen->last + 1;
        seen->last = reply->integer;
    } else if (reply->str != NULL) {
        snprintf(seen->text, sizeof(seen->text), "%s", reply->str);
    }
    if (seen->drop) {
        seen->drop = false;
        redis_drop(seen->redis, "the test dropped it");
        if (redis_ready(seen->redis) || redis_command(seen->redis, (struct slice[]){SLICE("PING")}, 1, on_reply, seen))
            bail_out("a dropped connection is still ready");
    }
    if (seen->again != 0) {
        --seen->again;
        if (!redis_command(seen->redis, (struct slice[]){SLICE("INCR"), SLICE("n")}, 2, on_reply, seen))
            bail_out("a command from a callback was refused");
    }
}

static struct seen *open_with(struct seen *seen, struct redis_options options)
{
    *seen = (struct seen){.ordered = true};
    options.on_ready = on_ready;
    options.on_lost = on_lost;
    options.data = seen;
    seen->redis = redis_open(&options);
    return seen;
}

static void command(struct seen *seen, const char *text)
{
    struct slice argv[8], rest = slice_of(text);
    size_t argc = 0;
    while (rest.p != NULL)
        argv[argc++] = slice_split(&rest, ' ');
    if (!redis_command(seen->redis, argv, argc, on_reply, seen))
        bail_out(text);
}

static bool why_is(const struct seen *seen, const char *why)
{
    return redis_why(seen->redis) != NULL && strcmp(redis_why(seen->redis), why) == 0;
}

static void check_places(struct server *server)
{
    struct redis_url url;
    struct {
        const char *what;
        char text[160];
    } rows[] = {{"a unix socket", ""}, {"an IPv4 address", ""}, {"a name", ""}};
    snprintf(rows[0].text, sizeof(rows[0].text), "unix://%s?db=3", server->sock);
    snprintf(rows[1].text, sizeof(rows[1].text), "redis://127.0.0.1:%d/3", server->port);
    snprintf(rows[2].text, sizeof(rows[2].text), "redis://localhost:%d/3", server->port);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct seen seen;
        open_with(&seen, options_for(url_of(&url, "%s", rows[i].text)));
        check(!redis_ready(seen.redis) && redis_why(seen.redis) != NULL, "%s: not ready at first, and says why", rows[i].what);
        check(run_until(seen.ready == 1), "%s: ready", rows[i].what);
        check(redis_ready(seen.redis) && redis_why(seen.redis) == NULL, "%s: has nothing to say then", rows[i].what);
        command(&seen, "CLIENT GETNAME");
        check(run_until(seen.answers == 1), "%s: answers", rows[i].what);
        check_slice(slice_of(seen.text), SLICE("sse-gateway:test"), "%s: has its name", rows[i].what);
        command(&seen, "CLIENT INFO");
        check(run_until(seen.answers == 2) && strstr(seen.text, " db=3 ") != NULL, "%s: selected its database", rows[i].what);
        redis_close(seen.redis);
    }
}

static void check_greeting(void)
{
    static const char *const config[] = {"--requirepass", "sesame", "--user", "alice",  "on", ">wonder", "~*",   "&*",      "+@all",
                                         "--user",        "bob",    "on",     ">blind", "~*", "&*",      "+get", "+select", NULL};
    static const struct {
        const char *user, *tail, *why;
    } rows[] = {
        {"", "", "Redis requires a password"},
        {":sesam@", "", "the password was refused"},
        {":sesame@", "", NULL},
        {"alice:wonder@", "", NULL},
        {"alice:sesame@", "", "user or password was refused"},
        {"nobody:wonder@", "", "user or password was refused"},
        {"alice:wonder@", "?db=15", NULL},
        {"alice:wonder@", "?db=16", "database 16 does not exist"},
        {"bob:blind@", "", NULL},
    };
    struct server server = {.name = "auth", .config = config};
    server_start(&server);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct redis_url url;
        struct seen seen;
        open_with(&seen, options_for(url_of(&url, "unix://%s%s%s", rows[i].user, server.sock, rows[i].tail)));
        if (rows[i].why == NULL)
            check(run_until(seen.ready == 1), "%s…%s is let in", rows[i].user, rows[i].tail);
        else
            check(run_until(why_is(&seen, rows[i].why)) && seen.ready == 0 && seen.lost == 0, "%s…%s: %s", rows[i].user,
                  rows[i].tail, rows[i].why);
        redis_close(seen.redis);
    }
    server_stop(&server, SIGKILL);
}

static void check_unwanted_password(struct server *server)
{
    struct redis_url url;
    struct seen seen;
    open_with(&seen, options_for(url_of(&url, "unix://:sesame@%s", server->sock)));
    check(run_until(why_is(&seen, "a password is set, but Redis has none")), "a password that nobody asked for is an error");
    redis_close(seen.redis);
}

/* A Redis that accepts connections and can't serve is not ready; one that can again is. */
static void check_not_serving(struct server *server)
{
    struct redis_url url;
    struct seen seen;
    server_set(server, "CONFIG SET replica-serve-stale-data no");
    server_set(server, "REPLICAOF 127.0.0.1 1");
    open_with(&seen, options_for(url_of(&url, "unix://%s", server->sock)));
    check(run_until(why_is(&seen, "Redis is a replica that has lost its master")) && seen.ready == 0,
          "a lone replica is not ready");
    server_set(server, "REPLICAOF NO ONE");
    check(run_until(seen.ready == 1), "… and is when it serves");
    redis_close(seen.redis);
    server_set(server, "CONFIG SET maxclients 1");
    open_with(&seen, options_for(&url));
    check(run_until(why_is(&seen, "Redis has reached its limit of clients")), "a full Redis says so");
    server_set(server, "CONFIG SET maxclients 1000");
    check(run_until(seen.ready == 1), "… and has room later");
    redis_close(seen.redis);
}

static void check_absent(void)
{
    struct server server = {.name = "late", .port = free_port()};
    struct redis_url unix_url, tcp_url;
    struct seen by_unix, by_tcp;
    open_with(&by_unix, options_for(url_of(&unix_url, "unix://%s/late.sock", directory)));
    open_with(&by_tcp, options_for(url_of(&tcp_url, "redis://127.0.0.1:%d", server.port)));
    check(run_until(why_is(&by_unix, "the socket file does not exist")), "an absent unix socket is named");
    check(run_until(why_is(&by_tcp, "connection refused")), "an absent port is named");
    check(!redis_command(by_tcp.redis, (struct slice[]){SLICE("PING")}, 1, on_reply, &by_tcp), "no command is taken");
    server_start(&server);
    check(run_until(by_unix.ready == 1 && by_tcp.ready == 1), "both come up by themselves when Redis does");

    server_set(&server, "CLIENT PAUSE 60000 ALL");
    for (int i = 0; i < 3; ++i)
        command(&by_tcp, "INCR n");
    h2o_evloop_run(loop, 10);
    server_stop(&server, SIGKILL);
    check(run_until(by_tcp.lost == 1 && by_unix.lost == 1), "a killed Redis is noticed");
    check(by_tcp.failed == 3 && by_tcp.answers == 0, "each command under way is called back once, without a reply");
    check_slice(slice_of(by_tcp.text), slice_of(by_tcp.why), "with the reason of the loss");
    check(redis_why(by_tcp.redis) != NULL && !redis_ready(by_tcp.redis), "it is not ready");
    server_start(&server);
    check(run_until(by_unix.ready == 2 && by_tcp.ready == 2), "both come back when Redis does");
    command(&by_tcp, "INCR n");
    check(run_until(by_tcp.answers == 1), "and work again");
    check(by_tcp.failed == 3 && by_tcp.lost == 1, "nothing was called back twice");
    redis_close(by_unix.redis);
    redis_close(by_tcp.redis);
    server_stop(&server, SIGKILL);
}

static void check_unknown_host(void)
{
    struct redis_url url;
    struct seen seen;
    open_with(&seen, options_for(url_of(&url, "redis://no-such-host.invalid")));
    struct redis *redis = seen.redis;
    check(run_until(strcmp(redis_why(redis), "not connected to Redis yet") != 0), "an unknown host fails: %s", redis_why(redis));
    redis_close(redis);
    open_with(&seen, options_for(&url));
    redis_close(seen.redis); /* with the look-up under way */
}

static void check_silence(struct server *server)
{
    struct redis_url url;
    struct seen busy, idle, early;
    struct redis_options options = options_for(url_of(&url, "redis://127.0.0.1:%d", server->port));
    options.reply_timeout_ms = options.connect_timeout_ms = silence_ms;
    open_with(&busy, options);
    open_with(&idle, options);
    check(run_until(busy.ready == 1 && idle.ready == 1), "ready");
    long long pings = server_info(server, "cmdstat_ping:calls=");
    check(run_until(server_info(server, "cmdstat_ping:calls=") >= pings + 6), "an idle connection is pinged");
    check(busy.lost == 0 && idle.lost == 0, "and stays");
    command(&busy, "INCR silence");
    run_until(busy.answers == 1);

    kill(server->pid, SIGSTOP);
    uint64_t start = clock_ms();
    command(&busy, "INCR silence");
    check(run_until(busy.lost == 1), "a stopped Redis is found");
    uint64_t took = clock_ms() - start;
    check(took >= silence_ms - 5 && took < 3 * silence_ms && busy.failed == 1,
          "by the command it owes, after the reply timeout (%d ms)", (int)took);
    check_slice(slice_of(busy.why), SLICE("Redis did not answer in time"), "the reason is the silence");
    check(run_until(idle.lost == 1), "and without a command");
    took = clock_ms() - start;
    check(took >= silence_ms - 5 && took < 4 * silence_ms, "by a ping, within one and a half of it (%d ms)", (int)took);
    open_with(&early, options);
    check(run_until(why_is(&early, "Redis accepted the connection and did not answer in time")), "a silent greeting ends");
    kill(server->pid, SIGCONT);
    check(run_until(busy.ready == 2 && idle.ready == 2 && early.ready == 1), "all come back with Redis");
    redis_close(busy.redis);
    redis_close(idle.redis);
    redis_close(early.redis);
}

/* Much that is under way takes its time: while answers come, nothing is dead, however old the last command is. */
static void check_progress(struct server *server)
{
    enum { COMMANDS = 6 };
    struct redis_url url;
    struct seen seen;
    struct redis_options options = options_for(url_of(&url, "unix://%s", server->sock));
    options.reply_timeout_ms = options.connect_timeout_ms = silence_ms;
    open_with(&seen, options);
    run_until(seen.ready == 1);
    uint64_t start = clock_ms();
    char wait[40];
    snprintf(wait, sizeof(wait), "BLPOP no-such-list %.1f", silence_ms / 2000.0);
    for (int i = 0; i < COMMANDS; ++i)
        command(&seen, wait);
    check(run_until(seen.answers == COMMANDS || seen.lost != 0) && seen.lost == 0, "answers that go on for %d ms are waited for",
          (int)(clock_ms() - start));
    check(clock_ms() - start >= 2 * silence_ms, "longer than one may be silent");
    redis_close(seen.redis);
}

static void check_pipeline(struct server *server)
{
    struct redis_url url;
    struct seen seen;
    server_set(server, "DEL n");
    open_with(&seen, options_for(url_of(&url, "unix://%s", server->sock)));
    run_until(seen.ready == 1);
    for (int i = 0; i < 10000; ++i)
        command(&seen, "INCR n");
    check(run_until(seen.answers == 10000), "10,000 commands of one turn are answered");
    check(seen.ordered && seen.last == 10000, "in order");

    long long reads = server_info(server, "total_reads_processed:");
    for (int i = 0; i < 500; ++i)
        command(&seen, "INCR n");
    check(run_until(seen.answers == 10500), "500 more");
    reads = server_info(server, "total_reads_processed:") - reads - 1;
    check(reads == 1, "arrive in one read, so they left in one write (%d)", (int)reads);

    seen.again = 1000;
    command(&seen, "INCR n");
    check(run_until(seen.answers == 11501) && seen.ordered, "a callback may send the next command");
    command(&seen, "GET");
    check(run_until(seen.answers == 11502) && strncmp(seen.text, "ERR wrong number", 16) == 0, "an error of Redis is a reply");
    check(seen.lost == 0 && seen.failed == 0, "and no loss");
    struct slice empty[] = {SLICE("SET"), SLICE("e"), {NULL, 0}};
    check(redis_command(seen.redis, empty, 3, NULL, NULL), "an empty argument and no callback");
    command(&seen, "STRLEN e");
    check(run_until(seen.answers == 11503) && seen.last == 0, "are right");
    redis_close(seen.redis);
}

static void check_drop(struct server *server)
{
    struct redis_url url;
    struct seen seen;
    server_set(server, "DEL n");
    open_with(&seen, options_for(url_of(&url, "unix://%s", server->sock)));
    run_until(seen.ready == 1);
    seen.drop = true;
    for (int i = 0; i < 5; ++i)
        command(&seen, "INCR n");
    check(run_until(seen.lost == 1), "a callback may drop the connection");
    check(seen.answers == 1 && seen.failed == 4, "the commands behind it fail");
    check_slice(slice_of(seen.why), SLICE("the test dropped it"), "with the reason given");
    check(run_until(seen.ready == 2), "it comes back");
    command(&seen, "INCR n");
    redis_drop(seen.redis, "again");
    check(!redis_ready(seen.redis) && seen.lost == 1 && why_is(&seen, "again"), "dropping says so at once and calls nothing back");
    check(run_until(seen.ready == 3) && seen.lost == 2 && seen.failed == 5, "but soon after");
    for (int i = 0; i < 3; ++i)
        command(&seen, "INCR n");
    redis_close(seen.redis);
    check(seen.failed == 8 && seen.lost == 2, "closing calls back what is under way, and no more");
    open_with(&seen, options_for(&url));
    run_until(seen.ready == 1);
    command(&seen, "INCR n");
    h2o_evloop_run(loop, 0);
    redis_close(seen.redis);
    check(seen.failed + seen.answers == 1, "also when it was written already");
    h2o_evloop_run(loop, 0);
}

/* What no redis-server does: talks another protocol, or hangs up at once. */
struct stranger {
    h2o_socket_t *listener;
    const char *says;
    int met;
    char path[96];
};

static void on_stranger(h2o_socket_t *listener, const char *err)
{
    struct stranger *stranger = listener->data;
    int fd = err != NULL ? -1 : accept4(h2o_socket_get_fd(listener), NULL, NULL, SOCK_CLOEXEC);
    if (fd == -1)
        return;
    ++stranger->met;
    if (write(fd, stranger->says, strlen(stranger->says)) < 0)
        printf("# the other end is gone already\n");
    close(fd);
}

static void stranger_start(struct stranger *stranger, const char *says)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    *stranger = (struct stranger){.says = says};
    snprintf(un.sun_path, sizeof(un.sun_path), "%s/stranger.sock", directory);
    strcpy(stranger->path, un.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1 || bind(fd, (struct sockaddr *)&un, sizeof(un)) != 0 || listen(fd, 16) != 0)
        bail_out("listen");
    stranger->listener = h2o_evloop_socket_create(loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    stranger->listener->data = stranger;
    h2o_socket_read_start(stranger->listener, on_stranger);
}

static void stranger_stop(struct stranger *stranger)
{
    h2o_socket_close(stranger->listener);
    unlink(stranger->path);
}

static void check_strangers(void)
{
    static const struct {
        const char *says, *why;
    } rows[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "Redis sent something that is not its protocol"},
        {"*-7\r\n", "Redis sent something that is not its protocol"},
        {"+OK\r\n+OK\r\n-ERR unheard of\r\n", "Redis refused the connection: ERR unheard of"},
        {"-DENIED Redis is running in protected mode\r\n",
         "Redis is in protected mode: it refuses other machines until it has a password"},
        {"+OK\r\n+OK\r\n-LOADING Redis is loading the dataset in memory\r\n", "Redis is loading its data"},
        {"+OK\r\n+OK\r\n+PONG\r\n+MORE\r\n", "Redis sent a reply that was not asked for"},
        {"", "Redis closed the connection"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct stranger stranger;
        struct redis_url url;
        struct seen seen;
        stranger_start(&stranger, rows[i].says);
        open_with(&seen, options_for(url_of(&url, "unix://%s", stranger.path)));
        check(run_until(why_is(&seen, rows[i].why)), "a peer that is no Redis, or no good one: %s", rows[i].why);
        redis_close(seen.redis);
        stranger_stop(&stranger);
    }
}

static void check_backoff(void)
{
    struct stranger stranger;
    struct redis_url url;
    struct seen seen;
    stranger_start(&stranger, "");
    uint64_t start = clock_ms();
    open_with(&seen, options_for(url_of(&url, "unix://%s", stranger.path)));
    check(run_until(stranger.met == 6), "a failing connection is tried again and again");
    uint64_t took = clock_ms() - start;
    check(took >= 770 && took < 5000, "after 50 ms, 100, 200, 400, 800, of which at most half is chance (%d ms)", (int)took);
    redis_close(seen.redis);
    stranger_stop(&stranger);
}

/* Two names of the same server stand for two nodes. */
static void check_moved(struct server *server)
{
    struct redis_url url;
    struct topology topology;
    struct seen seen;
    struct redis_node nodes[2] = {{"127.0.0.1", (uint16_t)server->port}, {"localhost", (uint16_t)server->port}};
    struct redis_options options = options_for(url_of(&url, "redis://127.0.0.1:%d", server->port));
    topology_init_node(&topology, &url, &nodes[0], TOPOLOGY_ANY);
    options.topology = &topology;
    open_with(&seen, options);
    for (int ready = 1; ready <= 4; ++ready) {
        check(run_until(seen.ready == ready) && redis_moved(seen.redis) == (ready == 3), "%s",
              ready == 3 ? "it moved" : "where it was, or first");
        topology.node = &nodes[ready >= 2];
        redis_drop(seen.redis, "the test dropped it");
    }
    redis_close(seen.redis);
}

int main(void)
{
    struct server server = {.name = "main"};
    if (getenv("TEST_TIME_SCALE") != NULL)
        silence_ms *= 2; /* a sanitizer makes all slow, and other tests run beside this one */
    log_set_level(LOG_ERROR);
    servers_init();
    server_start(&server);
    check_places(&server);
    check_greeting();
    check_unwanted_password(&server);
    check_not_serving(&server);
    check_absent();
    check_unknown_host();
    check_silence(&server);
    check_progress(&server);
    check_pipeline(&server);
    check_drop(&server);
    check_moved(&server);
    check_strangers();
    check_backoff();
    server_stop(&server, SIGTERM);
    return check_end();
}
