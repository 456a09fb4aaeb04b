#include "runtime/redis/cluster_view.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/check.h"

static const struct redis_node asked = {"asked", 7000};

static redisReply *reply_of(const char *resp)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    redisReaderFeed(reader, resp, strlen(resp));
    if (redisReaderGetReply(reader, &reply) != REDIS_OK || reply == NULL)
        printf("Bail out! %s\n", resp), exit(1);
    redisReaderFree(reader);
    return reply;
}

static const char *read_slots(struct cluster_view *out, const char *resp)
{
    redisReply *reply = reply_of(resp);
    memset(out, 0, sizeof(*out));
    const char *why = cluster_view_read_slots(out, reply, &asked);
    freeReplyObject(reply);
    return why;
}

static const char *read_epochs(struct cluster_view *view, const char *text)
{
    char resp[2048];
    snprintf(resp, sizeof(resp), "$%zu\r\n%s\r\n", strlen(text), text);
    redisReply *reply = reply_of(resp);
    const char *why = cluster_view_read_epochs(view, reply);
    freeReplyObject(reply);
    return why;
}

static const struct cluster_node *node_of(const struct cluster_view *view, size_t slot)
{
    return view->owner[slot] == 0 ? NULL : &view->nodes[view->owner[slot] - 1];
}

/* 1 where nobody has it. */
static uint64_t epoch_of(const struct cluster_view *view, size_t slot)
{
    const struct cluster_node *node = node_of(view, slot);
    return node == NULL ? 1 : node->epoch;
}

static bool is(const struct cluster_view *view, size_t slot, const char *id, const char *host, int port)
{
    const struct cluster_node *node = node_of(view, slot);
    return node != NULL && strcmp(node->id, id) == 0 && strcmp(node->at.host, host) == 0 && node->at.port == port;
}

#define NODE(endpoint, port, id) "*4\r\n" endpoint ":" port "\r\n$1\r\n" id "\r\n*0\r\n"
#define HOST_A "$8\r\n10.0.0.1\r\n"
#define HOST_B "$8\r\n10.0.0.2\r\n"

static void check_slots(void)
{
    struct cluster_view view;
    const char *why = read_slots(
        &view,
        "*4\r\n"
        "*4\r\n:0\r\n:100\r\n" NODE(HOST_A, "7001", "a") NODE("$7\r\nb.local\r\n", "7002", "b") "*3\r\n:101\r\n:101\r\n" NODE(
            "$1\r\n?\r\n", "7003", "c") "*3\r\n:102\r\n:16382\r\n" NODE("$-1\r\n", "7004",
                                                                        "d") "*3\r\n:16383\r\n:16383\r\n" NODE("$0\r\n\r\n", "7005",
                                                                                                               "e"));
    check(why == NULL && view.count == 5, "five nodes have slots, or replicate");
    check(is(&view, 0, "a", "10.0.0.1", 7001) && is(&view, 100, "a", "10.0.0.1", 7001), "a range, to its end");
    check(is(&view, 101, "c", "asked", 7003) && is(&view, 102, "d", "asked", 7004) && is(&view, 16383, "e", "asked", 7005),
          "an endpoint that is not known is the host that was asked");
    check(read_epochs(&view, "a 10.0.0.1:7001@17001,h myself,master - 0 0 7 connected 0-100\n"
                             "c :7003@17003 master - 0 0 18446744073709551615 connected 101\n"
                             "zz 1:1@1 master - 0 0 9 connected\n"
                             "d x") == NULL,
          "epochs");
    check(epoch_of(&view, 0) == 7 && epoch_of(&view, 101) == UINT64_MAX && epoch_of(&view, 102) == 0,
          "each is its node's; who is not named, or not to its end, has none");
    cluster_view_dispose(&view);
    check(read_slots(&view, "*0\r\n") == NULL && view.count == 0 && view.owner[0] == 0, "a cluster without slots");
    cluster_view_dispose(&view);
}

static void check_refused(void)
{
    static const struct {
        const char *what, *resp, *part;
    } rows[] = {
        {"NOPERM", "-NOPERM this user has no permissions\r\n", "+cluster|slots"},
        {"loading", "-LOADING Redis is loading\r\n", "loading its data"},
        {"another error", "-ERR This instance has cluster support disabled\r\n", "did not answer"},
        {"a text", "$2\r\nhi\r\n", "did not answer"},
        {"a range of two", "*1\r\n*2\r\n:0\r\n:1\r\n", "did not answer"},
        {"a slot below 0", "*1\r\n*3\r\n:-1\r\n:1\r\n" NODE(HOST_A, "1", "a"), "did not answer"},
        {"a slot above 16383", "*1\r\n*3\r\n:0\r\n:16384\r\n" NODE(HOST_A, "1", "a"), "did not answer"},
        {"a range that ends before it begins", "*1\r\n*3\r\n:2\r\n:1\r\n" NODE(HOST_A, "1", "a"), "did not answer"},
        {"port 0", "*1\r\n*3\r\n:0\r\n:1\r\n" NODE(HOST_A, "0", "a"), "did not answer"},
        {"port 65536", "*1\r\n*3\r\n:0\r\n:1\r\n" NODE(HOST_A, "65536", "a"), "did not answer"},
        {"a host that is none", "*1\r\n*3\r\n:0\r\n:1\r\n" NODE("$3\r\na b\r\n", "1", "a"), "did not answer"},
        {"a node of two", "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n" HOST_A ":1\r\n", "did not answer"},
        {"a replica that is none", "*1\r\n*4\r\n:0\r\n:1\r\n" NODE(HOST_A, "1", "a") ":1\r\n", "did not answer"},
        {"an id of 41 bytes", "*1\r\n*3\r\n:0\r\n:1\r\n*3\r\n" HOST_A ":1\r\n$41\r\n12345678901234567890123456789012345678901\r\n",
         "did not answer"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct cluster_view view;
        const char *why = read_slots(&view, rows[i].resp);
        check(why != NULL && strstr(why, rows[i].part) != NULL, "%s is refused, and says why", rows[i].what);
        cluster_view_dispose(&view);
    }
    struct cluster_view view = {.count = 0};
    check(read_epochs(&view, "") != NULL, "CLUSTER NODES without a node is none");
}

/* One range of all slots for each view: id, port, epoch. */
static void make(struct cluster_view *view, char id, int port, uint64_t epoch)
{
    char resp[256];
    snprintf(resp, sizeof(resp), "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n" HOST_A ":%d\r\n$1\r\n%c\r\n", port, id);
    if (read_slots(view, resp) != NULL)
        printf("Bail out! no view\n"), exit(1);
    view->nodes[0].epoch = epoch;
}

static void check_merge(void)
{
    static const struct {
        const char *what;
        struct {
            char id;
            int port, epoch;
        } views[2], before, want;
    } rows[] = {
        {"the higher epoch wins", {{'a', 1, 3}, {'b', 2, 4}}, {'a', 1, 3}, {'b', 2, 0}},
        {"in whatever order", {{'b', 2, 4}, {'a', 1, 3}}, {'a', 1, 3}, {'b', 2, 0}},
        {"of the same epoch the one that had it", {{'a', 1, 3}, {'b', 2, 3}}, {'b', 2, 3}, {'b', 2, 0}},
        {"a node stays where it was, as long as one says so", {{'a', 5, 3}, {'a', 1, 3}}, {'a', 1, 3}, {'a', 1, 0}},
        {"else it moves", {{'a', 5, 3}, {'a', 5, 3}}, {'a', 1, 3}, {'a', 5, 0}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct cluster_view views[2], before, out = {.count = 0};
        make(&views[0], rows[i].views[0].id, rows[i].views[0].port, (uint64_t)rows[i].views[0].epoch);
        make(&views[1], rows[i].views[1].id, rows[i].views[1].port, (uint64_t)rows[i].views[1].epoch);
        make(&before, rows[i].before.id, rows[i].before.port, (uint64_t)rows[i].before.epoch);
        cluster_view_merge(&out, (const struct cluster_view *const[]){&views[0], &views[1]}, 2, &before);
        char id[2] = {rows[i].want.id, 0};
        check(out.count == 1 && is(&out, 0, id, "10.0.0.1", rows[i].want.port) &&
                  is(&out, 16383, id, "10.0.0.1", rows[i].want.port),
              "%s", rows[i].what);
        check(cluster_view_eq(&out, &out) && !cluster_view_eq(&out, &(struct cluster_view){.count = 0}), "it equals itself only");
        for (size_t j = 0; j < 2; ++j)
            cluster_view_dispose(&views[j]);
        cluster_view_dispose(&before);
        cluster_view_dispose(&out);
    }
}

static void check_halves(void)
{
    struct cluster_view one, two, none = {.count = 0}, out = {.count = 0};
    const char *why = read_slots(&one, "*1\r\n*3\r\n:0\r\n:9\r\n" NODE(HOST_A, "1", "a"));
    if (why == NULL)
        why = read_slots(&two, "*2\r\n*3\r\n:5\r\n:5\r\n" NODE(HOST_B, "2", "b") "*3\r\n:20\r\n:29\r\n" NODE(HOST_B, "2", "b"));
    check(why == NULL, "two views of parts");
    if (why != NULL)
        return;
    two.nodes[0].epoch = 1;
    cluster_view_merge(&out, (const struct cluster_view *const[]){&one, &two}, 2, &none);
    check(is(&out, 4, "a", "10.0.0.1", 1) && is(&out, 5, "b", "10.0.0.2", 2) && is(&out, 6, "a", "10.0.0.1", 1) &&
              is(&out, 29, "b", "10.0.0.2", 2),
          "each slot for itself");
    check(node_of(&out, 10) == NULL && node_of(&out, 30) == NULL && out.count == 2, "a slot that nobody names is nobody's");
    cluster_view_dispose(&one);
    cluster_view_dispose(&two);
    cluster_view_dispose(&out);
}

/* Two of three believe that `a` still has slot 5, by an epoch that it got since for another reason. It says itself that `b` has it. */
static void check_denied(void)
{
    static const char slots[] = "*3\r\n*3\r\n:0\r\n:4\r\n" NODE(HOST_A, "1", "a") "*3\r\n:5\r\n:5\r\n" NODE(
        HOST_B, "2", "b") "*3\r\n:6\r\n:9\r\n" NODE(HOST_A, "1", "a");
    static const char stale[] = "*2\r\n*3\r\n:0\r\n:9\r\n" NODE(HOST_A, "1", "a") "*3\r\n:20\r\n:29\r\n" NODE(HOST_B, "2", "b");
    struct cluster_view views[2], none = {.count = 0}, out = {.count = 0};
    const char *why = read_slots(&views[0], slots);
    if (why == NULL)
        why = read_slots(&views[1], stale);
    if (why == NULL)
        why = read_epochs(&views[0], "a h:1@1 myself,master - 0 0 8 connected\nb h:2@2 master - 0 0 7 connected");
    if (why == NULL)
        why = read_epochs(
            &views[1],
            "a h:1@1 master - 0 0 8 connected\nb h:2@2 master - 0 0 7 connected\nc h:3@3 myself,slave a 0 0 8 connected");
    check(why == NULL && views[0].self != 0 && views[1].self == 0, "one that says who it is, and one that is none of them");
    cluster_view_merge(&out, (const struct cluster_view *const[]){&views[0], &views[1]}, 2, &none);
    check(is(&out, 5, "b", "10.0.0.2", 2) && is(&out, 4, "a", "10.0.0.1", 1), "what a node says of itself comes before hearsay");
    cluster_view_dispose(&out);
    cluster_view_merge(&out, (const struct cluster_view *const[]){&views[1]}, 1, &none);
    check(is(&out, 5, "a", "10.0.0.1", 1), "which counts where there is nothing else");
    cluster_view_dispose(&out);
    views[1].self = views[1].owner[20]; /* now `b` itself, asked before the slot came to it */
    cluster_view_merge(&out, (const struct cluster_view *const[]){&views[0], &views[1]}, 2, &none);
    check(is(&out, 5, "a", "10.0.0.1", 1), "where two name each other somebody has it");
    cluster_view_dispose(&out);
    for (size_t i = 0; i < 2; ++i)
        cluster_view_dispose(&views[i]);
}

int main(void)
{
    check_denied();
    check_slots();
    check_refused();
    check_merge();
    check_halves();
    return check_end();
}
