/* Input: flags (1: with user and password, 2: with a database, 4: Redis answers the greeting by itself), then steps, each a field: "c": a command is
 * sent, "h": the peer hangs up, "d": the owner drops the connection, anything else is said by the peer as it stands.
 * Each command is called back once, in order, with a reply or a reason; between its on_ready and its on_lost the connection is ready. */
#include "runtime/redis/redis.h"

#include "tests/fuzz/peer.h"

enum { COMMANDS_MAX = 200 };

static struct {
    struct redis *redis;
    size_t sent, answered;
    bool ready;
} client;

static void touch(const redisReply *reply)
{
    must(reply->type >= REDIS_REPLY_STRING && reply->type <= REDIS_REPLY_ERROR);
    if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS || reply->type == REDIS_REPLY_ERROR)
        must(reply->str != NULL && reply->str[reply->len] == '\0');
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i != reply->elements; ++i)
        touch(reply->element[i]);
}

static void on_reply(void *data, const redisReply *reply, const char *why)
{
    must((size_t)(uintptr_t)data == client.answered++);
    must((reply == NULL) == (why != NULL));
    if (reply != NULL)
        touch(reply);
    if (why != NULL)
        must(why[0] != '\0' && strstr(why, "secret") == NULL);
}

static void on_ready(void *data)
{
    (void)data;
    must(!client.ready);
    client.ready = true;
}

static void on_lost(void *data, const char *why)
{
    (void)data;
    must(client.ready && client.answered == client.sent && why[0] != '\0');
    client.ready = false;
}

static void send_command(void)
{
    struct slice argv[] = {SLICE("GET"), SLICE("key\r\n")};
    if (client.sent == COMMANDS_MAX)
        return;
    bool queued = redis_command(client.redis, argv, 1 + client.sent % 2, on_reply, (void *)(uintptr_t)client.sent);
    must(queued == redis_ready(client.redis));
    client.sent += queued;
    must(!queued || client.ready);
}

static void step(struct slice step)
{
    if (slice_eq(step, SLICE("c")))
        send_command();
    else if (slice_eq(step, SLICE("h")))
        peer_hang_up();
    else if (slice_eq(step, SLICE("d")))
        redis_drop(client.redis, "dropped by its owner");
    else
        peer_say(step);
    must(redis_ready(client.redis) == (redis_why(client.redis) == NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice rest = slice_make((const char *)data + 1, size - 1);
    bool user = (data[0] & 1) != 0, db = (data[0] & 2) != 0;
    struct redis_options options = peer_options(user, db);
    options.on_ready = on_ready;
    options.on_lost = on_lost;
    client.sent = client.answered = 0;
    client.ready = false;
    client.redis = redis_open(&options);
    if ((data[0] & 4) != 0) {
        peer_greet(user, db);
        must(client.ready && redis_ready(client.redis) && peer_commands() == 3u + user + db);
    }
    while (rest.p != NULL)
        step(next_field(&rest));
    redis_close(client.redis);
    must(client.answered == client.sent);
    peer_end();
    return 0;
}
