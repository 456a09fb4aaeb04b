/* The limits at a request, without a server: requests whose connections are memory, and a hub that says how many channels are new to it. */
#include "gateway/http/admission.h"

#include <stdlib.h>

#include "gateway/counters.h"
#include "runtime/net/connection.h"
#include "tests/check.h"

/* ---- what is not the real one ---- */

static uint32_t fresh, room, asked_up_to;

uint32_t hub_count_fresh(struct hub *hub, const struct slice *names, uint32_t count, uint32_t enough)
{
    (void)hub;
    (void)names;
    uint32_t found = fresh < count ? fresh : count;
    asked_up_to = enough;
    return found < enough ? found : enough;
}

static size_t feed_room(struct feed *feed)
{
    (void)feed;
    return room;
}

static bool feed_promise(struct feed *feed, uint32_t channels)
{
    (void)feed;
    if (channels > room)
        return false;
    room -= channels;
    return true;
}

static void feed_give_back(struct feed *feed, uint32_t channels)
{
    (void)feed;
    room += channels;
}

static struct site site = {.bus = {.room = feed_room, .promise = feed_promise, .give_back = feed_give_back}};
static struct site_worker worker = {.site = &site};

struct client {
    h2o_conn_t conn;
    h2o_socket_t sock;
    struct sockaddr_in address;
};

static socklen_t get_peername(h2o_conn_t *conn, struct sockaddr *address)
{
    const struct client *client = H2O_STRUCT_FROM_MEMBER(struct client, conn, conn);
    memcpy(address, &client->address, sizeof(client->address));
    return sizeof(client->address);
}

static h2o_socket_t *get_socket(h2o_conn_t *conn)
{
    return &H2O_STRUCT_FROM_MEMBER(struct client, conn, conn)->sock;
}

static void on_closed(struct connection_owner *owner)
{
    (void)owner;
}

static void connect_from(struct client *client, uint32_t address)
{
    static const h2o_conn_callbacks_t callbacks = {.get_peername = get_peername, .get_socket = get_socket};
    static struct connection_owner owner = {.on_closed = on_closed};
    *client = (struct client){.conn = {.ctx = &worker.ctx, .callbacks = &callbacks},
                              .address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)}};
    connection_open(&client->sock, &owner);
}

static void disconnect(struct client *client)
{
    client->sock.on_close.cb(client->sock.on_close.data);
}

enum { HTTP1 = 0x101, HTTP2 = 0x200, ADDRESS = 0xc0000201, OTHER = 0xc0000202 };

static h2o_req_t *request(struct client *client, int version)
{
    h2o_req_t *req = calloc(1, sizeof(*req));
    h2o_mem_init_pool(&req->pool);
    req->conn = &client->conn;
    req->version = version;
    return req;
}

static void end(h2o_req_t *req)
{
    h2o_mem_clear_pool(&req->pool);
    free(req);
}

static void limit(const struct limits_options *options)
{
    if (site.limits != NULL)
        limits_free(site.limits);
    site.limits = limits_create(options);
}

/* The refusal is this one, and was counted as this limit. */
static void refused(const struct refusal *why, int status, enum limit kind, const char *fact)
{
    static int64_t before[LIMIT_KINDS + 1];
    int64_t now = metric_sum((size_t)COUNT_LIMITED + kind - 1);
    check(why->status == status && why->retry_s != 0 && strcmp(why->sentence, limit_sentence(kind)) == 0, "%s: %d, %s", fact,
          status, limit_sentence(kind));
    check(now > before[kind], "%s: it is counted", fact);
    before[kind] = now;
}

/* ---- facts ---- */

static void test_off(void)
{
    struct client client;
    struct limits_place *place;
    struct refusal why;
    limit(&(struct limits_options){0});
    connect_from(&client, ADDRESS);
    h2o_req_t *req = request(&client, HTTP1);
    check(admission_open(req, &place, &why) && place == NULL, "without limits a stream needs no place");
    check(admission_subject(place, SLICE("alice"), &why), "nor does its subject");
    check(admission_publish(req, &why), "and anyone may publish");
    end(req);
    disconnect(&client);
}

/* A place for one stream of an address; when is it free again? */
static void test_place(void)
{
    static const struct {
        const char *name;
        int version;
        bool taken_over;
        bool free_after_request, free_after_connection;
    } rows[] = {
        {"a request over HTTP/1.1 that became no stream", HTTP1, false, true, true},
        {"a stream over HTTP/1.1, whose request goes first", HTTP1, true, false, true},
        {"a stream over HTTP/2, which is its request", HTTP2, false, true, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct client client, next;
        struct limits_place *place, *other;
        struct refusal why;
        limit(&(struct limits_options){.address_streams = 1});
        connect_from(&client, ADDRESS);
        connect_from(&next, ADDRESS);
        h2o_req_t *req = request(&client, rows[i].version), *second = request(&next, HTTP2);
        check(admission_open(req, &place, &why) && place != NULL, "%s has the place", rows[i].name);
        if (check(!admission_open(second, &other, &why), "%s: a second stream has none", rows[i].name))
            refused(&why, 429, LIMIT_ADDRESS_STREAMS, rows[i].name);
        connection_of(&client.sock)->taken_over = rows[i].taken_over;
        end(req);
        check(admission_open(second, &other, &why) == rows[i].free_after_request,
              "%s: the place is%s free when the request is gone", rows[i].name, rows[i].free_after_request ? "" : " not");
        end(second);
        second = request(&next, HTTP2);
        disconnect(&client);
        check(admission_open(second, &other, &why) == rows[i].free_after_connection, "%s: … and when the connection is gone",
              rows[i].name);
        end(second);
        disconnect(&next);
    }
}

static void test_subject(void)
{
    struct client client;
    struct limits_place *first, *second, *third;
    struct refusal why;
    limit(&(struct limits_options){.subject_streams = 1});
    connect_from(&client, ADDRESS);
    h2o_req_t *a = request(&client, HTTP2), *b = request(&client, HTTP2), *c = request(&client, HTTP2);
    check(admission_open(a, &first, &why) && admission_subject(first, SLICE("alice"), &why), "alice has a stream");
    if (check(admission_open(b, &second, &why) && !admission_subject(second, SLICE("alice"), &why),
              "a second one she may not have"))
        refused(&why, 429, LIMIT_SUBJECT_STREAMS, "alice");
    check(admission_open(c, &third, &why) && admission_subject(third, SLICE("bob"), &why), "bob may");
    check(admission_subject(third, (struct slice){NULL, 0}, &why), "no subject is nobody's");
    end(b);
    end(a);
    b = request(&client, HTTP2);
    check(admission_open(b, &second, &why) && admission_subject(second, SLICE("alice"), &why),
          "when the first is gone she may again");
    end(b);
    end(c);
    disconnect(&client);
}

static void test_connection(void)
{
    struct client client;
    struct refusal why;
    h2o_req_t *reqs[CONNECTION_STREAMS_MAX + 1];
    connect_from(&client, ADDRESS);
    unsigned good = 0;
    for (unsigned i = 0; i <= CONNECTION_STREAMS_MAX; ++i) {
        reqs[i] = request(&client, HTTP2);
        good += i < CONNECTION_STREAMS_MAX && admission_connection(reqs[i], &why);
    }
    h2o_req_t *last = reqs[CONNECTION_STREAMS_MAX], *http1 = request(&client, HTTP1);
    check(good == CONNECTION_STREAMS_MAX, "an HTTP/2 connection may have %d streams", CONNECTION_STREAMS_MAX);
    if (check(!admission_connection(last, &why), "and no more"))
        refused(&why, 429, LIMIT_CONNECTION_STREAMS, "one more");
    check(admission_connection(http1, &why) && connection_of(&client.sock)->streams == CONNECTION_STREAMS_MAX,
          "a stream over HTTP/1.1 is the only one of its connection, and not counted");
    end(reqs[0]);
    check(admission_connection(last, &why), "one that is gone makes room");
    for (unsigned i = 1; i <= CONNECTION_STREAMS_MAX; ++i)
        end(reqs[i]);
    end(http1);
    check(connection_of(&client.sock)->streams == 0, "and all give their places back");
    disconnect(&client);
}

static void test_channels(void)
{
    static const struct {
        const char *name;
        uint32_t fresh, room;
        int64_t rate; /* a second, ten times that at once */
        int status; /* 0: admitted */
        enum limit limit;
        uint32_t promised;
        bool known; /* the client has a number */
        uint32_t asked; /* how far the hub had to count */
    } rows[] = {
        {"no channel is new", 0, 0, 1, 0, LIMIT_NONE, 0, false, 1},
        {"one is new, and there is room", 1, 100, 0, 0, LIMIT_NONE, 1, true, 20},
        {"there is no room", 1, 0, 1, 503, LIMIT_CHANNELS, 0, true, 1},
        {"there is room for all but one", 20, 19, 0, 503, LIMIT_CHANNELS, 0, true, 20},
        {"there is room for all", 20, 20, 0, 0, LIMIT_NONE, 20, true, 20},
        {"as many as the address may bring up at once", 10, 100, 1, 0, LIMIT_NONE, 10, true, 20},
        {"more than it may at once, and it used none: room is kept for all", 20, 100, 1, 0, LIMIT_NONE, 20, true, 20},
    };
    struct slice names[20] = {{NULL, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct client client;
        struct refusal why = {0, 0, NULL};
        struct hub_spec spec = {.channels = names, .count = 20};
        limit(&(struct limits_options){.channel_rate = rows[i].rate});
        connect_from(&client, ADDRESS);
        h2o_req_t *req = request(&client, HTTP2);
        fresh = rows[i].fresh;
        room = rows[i].room;
        bool good = admission_channels(req, &spec, &why);
        check(good == (rows[i].status == 0) && (spec.client != 0) == rows[i].known, "%s", rows[i].name);
        check(spec.promised == rows[i].promised && room == rows[i].room - rows[i].promised, "%s: room is kept for %u", rows[i].name,
              rows[i].promised);
        check(asked_up_to == rows[i].asked, "%s: new ones are counted up to %u", rows[i].name, rows[i].asked);
        if (!good)
            refused(&why, rows[i].status, rows[i].limit, rows[i].name);
        end(req);
        disconnect(&client);
    }
}

/* What can never be is said so, and nothing is counted for it. */
static void test_max_channels(void)
{
    struct client client;
    struct slice names[20] = {{NULL, 0}};
    struct refusal why = {0, 0, NULL};
    struct hub_spec spec = {.channels = names, .count = 20};
    limit(&(struct limits_options){0});
    connect_from(&client, ADDRESS);
    h2o_req_t *req = request(&client, HTTP2);
    fresh = room = site.max_channels = 20;
    check(admission_channels(req, &spec, &why) && spec.promised == 20, "as many channels as there may be at all");
    site.max_channels = 19;
    fresh = asked_up_to = 0;
    int64_t before = metric_sum(COUNT_LIMITED + LIMIT_CHANNELS - 1);
    check(!admission_channels(req, &spec, &why) && why.status == 400 && why.retry_s == 0 && asked_up_to == 0,
          "one more is refused for ever, whatever others listen to");
    check_slice(slice_of(why.sentence),
                SLICE("more than 19 channels in one stream: this gateway listens to no more (MAX_CHANNELS)"), "with the bound");
    check(metric_sum(COUNT_LIMITED + LIMIT_CHANNELS - 1) == before + 1, "and counted");
    site.max_channels = 0;
    end(req);
    disconnect(&client);
}

static void test_channel_rate(void)
{
    struct client client, other;
    struct slice names[10] = {{NULL, 0}};
    struct refusal why;
    struct hub_spec spec = {.channels = names, .count = 10}, again = spec, others = spec;
    limit(&(struct limits_options){.channel_rate = 1});
    connect_from(&client, ADDRESS);
    connect_from(&other, OTHER);
    h2o_req_t *req = request(&client, HTTP2), *theirs = request(&other, HTTP2);
    fresh = 10;
    room = 100;
    check(admission_channels(req, &spec, &why), "an address brings up all it may at once");
    if (check(!admission_channels(req, &again, &why) && again.client == spec.client, "then it has to wait"))
        refused(&why, 429, LIMIT_CHANNEL_RATE, "too many new channels");
    check(room == 90 && again.promised == 0, "and the room is given back");
    check(asked_up_to == 1, "what is over the limit anyway is not counted to the end");
    check(admission_channels(theirs, &others, &why) && others.client != spec.client,
          "another address does not, and is another client");
    end(req);
    end(theirs);
    disconnect(&client);
    disconnect(&other);
}

static void test_publish(void)
{
    struct client proxy, direct;
    struct refusal why;
    unsigned good = 0;
    limit(&(struct limits_options){.publish_rate = 1});
    site.proxies = proxies_parse("192.0.2.2");
    connect_from(&proxy, OTHER);
    connect_from(&direct, ADDRESS);
    h2o_req_t *passed = request(&proxy, HTTP1), *req = request(&direct, HTTP1);
    h2o_add_header(&passed->pool, &passed->headers, H2O_TOKEN_X_FORWARDED_FOR, NULL, H2O_STRLIT("192.0.2.1"));
    for (int i = 0; i < 10; ++i)
        good += admission_publish(i % 2 ? passed : req, &why);
    check(good == 10, "an address may publish ten times at once, at one a second");
    if (check(!admission_publish(passed, &why), "what a proxy passes on counts for its client"))
        refused(&why, 429, LIMIT_PUBLISH_RATE, "too many posts");
    end(passed);
    passed = request(&proxy, HTTP1);
    check(admission_publish(passed, &why), "the proxy itself is another one");
    end(passed);
    end(req);
    disconnect(&proxy);
    disconnect(&direct);
}

int main(void)
{
    counters_init();
    metrics_thread();
    test_off();
    test_place();
    test_subject();
    test_connection();
    test_channels();
    test_max_channels();
    test_channel_rate();
    test_publish();
    limits_free(site.limits);
    return check_end();
}
