#include "runtime/redis/redis_url.h"

#include <stdlib.h>
#include <strings.h>

#include "proto/channel.h"
#include "tests/check.h"

#define TIMES_10(s) s s s s s s s s s s
#define TIMES_50(s) s s s s s TIMES_10(s) TIMES_10(s) TIMES_10(s) TIMES_10(s) s s s s s

static void check_tcp(void)
{
    static const struct {
        const char *text, *host;
        int port;
        const char *user, *password;
        int db;
        const char *place;
    } rows[] = {
        {"redis://localhost", "localhost", 6379, "", "", 0, "localhost:6379"},
        {"redis://localhost/", "localhost", 6379, "", "", 0, "localhost:6379"},
        {"REDIS://Cache-1.example.org:1/15", "Cache-1.example.org", 1, "", "", 15, "Cache-1.example.org:1"},
        {"redis://10.0.0.7:65535", "10.0.0.7", 65535, "", "", 0, "10.0.0.7:65535"},
        {"redis://[::1]", "::1", 6379, "", "", 0, "[::1]:6379"},
        {"redis://[fe80::1%eth0]:7000/2", "fe80::1%eth0", 7000, "", "", 2, "[fe80::1%eth0]:7000"},
        {"redis://:secret@redis_1", "redis_1", 6379, "", "secret", 0, "redis_1:6379"},
        {"redis://alice:secret@h:1", "h", 1, "alice", "secret", 0, "h:1"},
        {"redis://a%3Ab:p%40%2f%25%C3%a9@h", "h", 6379, "a:b", "p@/%\xc3\xa9", 0, "h:6379"},
        {"redis://alice:p@ss:word@h", "h", 6379, "alice", "p@ss:word", 0, "h:6379"},
        {"redis://h/2147483647", "h", 6379, "", "", 2147483647, "h:6379"},
        {"rediss://alice:secret@h:1/2", "h", 1, "alice", "secret", 2, "h:1"},
        {"REDISS://[::1]", "::1", 6379, "", "", 0, "[::1]:6379"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct redis_url url;
        char place[300];
        const char *error = redis_url_parse(&url, rows[i].text), *text = rows[i].text;
        if (!check(error == NULL, "%s is a URL", text))
            continue;
        check(url.kind == REDIS_TCP && url.node_count == 1 && url.nodes[0].port == rows[i].port && url.db == rows[i].db,
              "%s: port and database", text);
        check(url.secure == (strncasecmp(text, "rediss:", 7) == 0) && url.tls == NULL, "%s: %s", text,
              url.secure ? "TLS" : "no TLS");
        check_slice(slice_of(url.nodes[0].host), slice_of(rows[i].host), "%s: host", text);
        check_slice(slice_of(url.login.user), slice_of(rows[i].user), "%s: user", text);
        check_slice(slice_of(url.login.password), slice_of(rows[i].password), "%s: password", text);
        check_slice(slice_of(redis_url_place(place, sizeof(place), &url)), slice_of(rows[i].place), "%s: place", text);
    }
}

static void check_unix(void)
{
    static const struct {
        const char *text, *path, *user, *password;
        int db;
    } rows[] = {
        {"unix:///run/redis.sock", "/run/redis.sock", "", "", 0},
        {"unix:///run/redis.sock?db=7", "/run/redis.sock", "", "", 7},
        {"unix://:p%20w@/tmp/x@y", "/tmp/x@y", "", "p w", 0},
        {"unix://bob:pw@/s?db=0", "/s", "bob", "pw", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct redis_url url;
        char place[300];
        if (!check(redis_url_parse(&url, rows[i].text) == NULL, "%s is a URL", rows[i].text))
            continue;
        check(url.kind == REDIS_UNIX && url.db == rows[i].db, "%s: database", rows[i].text);
        check_slice(slice_of(url.path), slice_of(rows[i].path), "%s: path", rows[i].text);
        check_slice(slice_of(url.login.user), slice_of(rows[i].user), "%s: user", rows[i].text);
        check_slice(slice_of(url.login.password), slice_of(rows[i].password), "%s: password", rows[i].text);
        check_slice(slice_of(redis_url_place(place, sizeof(place), &url)), slice_of(rows[i].path), "%s: place", rows[i].text);
    }
}

static void check_sentinel(void)
{
    static const struct {
        const char *text, *name, *password;
        int db;
        size_t count;
        bool secure;
        const char *place;
    } rows[] = {
        {"redis-sentinel://a/events", "events", "", 0, 1, false, "a:26379/events"},
        {"Redis-Sentinel://a:1,10.0.0.7,[::1]:7/My.name_1-2/3", "My.name_1-2", "", 3, 3, false,
         "a:1,10.0.0.7:26379,[::1]:7/My.name_1-2"},
        {"rediss-sentinel://bob:p%40ss@word@a,b/n/0", "n", "p@ss@word", 0, 2, true, "a:26379,b:26379/n"},
        {"redis-sentinel://1,2,3,4,5,6,7,8/n", "n", "", 0, 8, false,
         "1:26379,2:26379,3:26379,4:26379,5:26379,6:26379,7:26379,8:26379/n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct redis_url url;
        char place[REDIS_PLACE_MAX];
        if (!check(redis_url_parse(&url, rows[i].text) == NULL, "%s is a URL", rows[i].text))
            continue;
        check(url.kind == REDIS_SENTINEL && url.node_count == rows[i].count && url.db == rows[i].db && url.secure == rows[i].secure,
              "%s: sentinels, database, TLS", rows[i].text);
        check_slice(slice_of(url.name), slice_of(rows[i].name), "%s: name", rows[i].text);
        check_slice(slice_of(url.login.password), slice_of(rows[i].password), "%s: password", rows[i].text);
        check_slice(slice_of(redis_url_place(place, sizeof(place), &url)), slice_of(rows[i].place), "%s: place", rows[i].text);
    }
}

static void check_cluster(void)
{
    static const struct {
        const char *text, *user, *password;
        size_t count;
        bool secure;
        const char *place;
    } rows[] = {
        {"redis-cluster://a", "", "", 1, false, "a:6379"},
        {"Redis-Cluster://a:1,10.0.0.7,[::1]:7/", "", "", 3, false, "a:1,10.0.0.7:6379,[::1]:7"},
        {"rediss-cluster://bob:p%40ss@word@a,b:7000/0", "bob", "p@ss@word", 2, true, "a:6379,b:7000"},
        {"redis-cluster://:pw@1,2,3,4,5,6,7,8", "", "pw", 8, false, "1:6379,2:6379,3:6379,4:6379,5:6379,6:6379,7:6379,8:6379"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct redis_url url;
        char place[REDIS_PLACE_MAX];
        if (!check(redis_url_parse(&url, rows[i].text) == NULL, "%s is a URL", rows[i].text))
            continue;
        check(url.kind == REDIS_CLUSTER && url.node_count == rows[i].count && url.db == 0 && url.secure == rows[i].secure,
              "%s: nodes, database, TLS", rows[i].text);
        check_slice(slice_of(url.login.user), slice_of(rows[i].user), "%s: user", rows[i].text);
        check_slice(slice_of(url.login.password), slice_of(rows[i].password), "%s: password", rows[i].text);
        check_slice(slice_of(redis_url_place(place, sizeof(place), &url)), slice_of(rows[i].place), "%s: place", rows[i].text);
    }
}

static void check_sentinel_password(void)
{
    static const struct {
        const char *url, *text, *user, *password; /* or a part of the sentence */
    } rows[] = {
        {"redis-sentinel://a/n", "", "", ""},
        {"redis-sentinel://a/n", "sesame", "", "sesame"},
        {"redis-sentinel://u:other@a/n", "bob:ses%3Aame:", "bob", "ses:ame:"},
        {"redis-sentinel://a/n", ":sesame", "", "sesame"},
        {"redis-sentinel://a/n", "bob:", NULL, "REDIS_SENTINEL_PASSWORD: the password is empty"},
        {"redis-sentinel://a/n", "sesame%4", NULL, "REDIS_SENTINEL_PASSWORD: a '%'"},
        {"redis://a", "sesame", NULL, "REDIS_SENTINEL_PASSWORD: is for redis-sentinel://"},
        {"redis-cluster://a", "sesame", NULL, "REDIS_SENTINEL_PASSWORD: is for redis-sentinel://"},
        {"redis-sentinel://a", "sesame", NULL, "REDIS_URL: the name of the primary is missing"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct redis_url url;
        const char *error = redis_url_load(&url, rows[i].url, rows[i].text, false);
        if (rows[i].user == NULL) {
            check(error != NULL && strstr(error, rows[i].password) == error && strstr(error, "sesame") == NULL, "%s",
                  rows[i].password);
        } else if (check(error == NULL, "'%s' is a password", rows[i].text)) {
            check_slice(slice_of(url.sentinel_login.user), slice_of(rows[i].user), "'%s': user", rows[i].text);
            check_slice(slice_of(url.sentinel_login.password), slice_of(rows[i].password), "'%s': password", rows[i].text);
        }
    }
}

/* A database keeps nothing apart, a prefix does. */
static void check_database_and_prefix(void)
{
    static const struct {
        const char *url, *prefix;
        bool good;
    } rows[] = {
        {"redis://a", "sse:", true},
        {"redis://a/0", "sse:", true},
        {"redis://a/1", "sse:", false},
        {"redis://a/1", "other:", true},
        {"redis://a/0", "other:", true},
        {"unix:///s?db=2", "sse:", false},
        {"redis-sentinel://a/n/3", "sse:", false},
        {"redis-sentinel://a/n/3", "sse2:", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct redis_url url;
        const char *error = redis_url_load(&url, rows[i].url, "", channel_prefix_is_own(rows[i].prefix));
        check((error == NULL) == rows[i].good, "%s with %s", rows[i].url, rows[i].prefix);
        check(error == NULL || (strstr(error, "REDIS_URL: ") == error && strstr(error, "REDIS_PREFIX") != NULL), "both are named");
    }
}

static void check_nodes(void)
{
    static const struct {
        const char *host, *port;
        bool good;
    } rows[] = {{"10.0.0.1", "6379", true},
                {"::1", "1", true},
                {"redis-1.local", "65535", true},
                {"", "1", false},
                {"h", "0", false},
                {"h", "65536", false},
                {"h", "", false},
                {"h", "1x", false},
                {"a b", "1", false},
                {"a,b", "1", false},
                {"a@b", "1", false},
                {"a/b", "1", false},
                {TIMES_50("12345") "123456", "1", false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        struct redis_node node, again = {"", 0};
        bool good = redis_node_read(&node, slice_of(rows[i].host), slice_of(rows[i].port));
        check(good == rows[i].good, "%.20s %s: %s", rows[i].host, rows[i].port, rows[i].good ? "a node" : "no node");
        check(!good || (strcmp(node.host, rows[i].host) == 0 && redis_node_eq(&node, &node) && !redis_node_eq(&node, &again)),
              "as it stands");
    }
}

/* Every refused text holds "sesame" where it could hold a password: no sentence may repeat it. `part`: of the sentence; NULL: it is not refused. */
static void check_refusal(const char *text, const char *part)
{
    struct redis_url url;
    const char *error = redis_url_parse(&url, text);
    if (part == NULL)
        check(error == NULL, "%s is still a URL", text);
    else if (!check(error != NULL && strstr(error, part) != NULL && strstr(error, "sesame") == NULL, "%s is refused, and says why",
                    text))
        printf("#   %s\n", error == NULL ? "it was taken" : error);
}

static void check_refused(void)
{
    static const struct {
        const char *text, *part; /* of the sentence */
    } rows[] = {
        {"", "must begin with redis://"},
        {"http://sesame@h", "must begin with redis://"},
        {"redis:/h", "must begin with redis://"},
        {"redis://", "host is missing"},
        {"redis://:6379", "host is missing"},
        {"redis:///1", "host is missing"},
        {"redis://sesame@h", "user:password"},
        {"redis://@h", "user:password"},
        {"redis://:@h", "password is empty"},
        {"redis://sesame:@h", "password is empty"},
        {"redis://:sesame%4@h", "two hex digits"},
        {"redis://:sesame%zz@h", "two hex digits"},
        {"redis://:sesame%@h", "two hex digits"},
        {"redis://:sesame%00@h", "NUL"},
        {"redis://h:", "port"},
        {"redis://h:0", "port"},
        {"redis://h:65536", "port"},
        {"redis://h:99999999999999999999", "port"},
        {"redis://h:+1", "port"},
        {"redis://h: 1", "port"},
        {"redis://h:6379sesame", "port"},
        {"redis://::1", "brackets"},
        {"redis://[::1", "']'"},
        {"redis://[::1]6379", "']'"},
        {"redis://[]", "host is missing"},
        {"redis://[localhost]", "IPv6"},
        {"redis://ho st", "character"},
        {"redis://h\x7f", "character"},
        {"redis://h?db=1", "character"},
        {"redis://h/x", "database"},
        {"redis://h/-1", "database"},
        {"redis://h/1/2", "database"},
        {"redis://h/2147483648", "database"},
        {"redis://h/1?sesame", "database"},
        {"redis://" TIMES_50("12345") "123456", "255 bytes"},
        {"redis://" TIMES_50("12345") ":sesame@h", "127 bytes"},
        {"redis://:" TIMES_50("12345") TIMES_50("12345") "123456789012@h", "511 bytes"},
        {"redis://a,b", "character"},
        {"redis-sentinel://", "host is missing"},
        {"redis-sentinel://a", "name of the primary is missing"},
        {"redis-sentinel://sesame:sesame@a/", "name of the primary is missing"},
        {"redis-sentinel://a//1", "name of the primary is missing"},
        {"redis-sentinel://a/n/x", "database"},
        {"redis-sentinel://a/n/1/2", "database"},
        {"redis-sentinel://a/n?db=1", "name of the primary holds"},
        {"redis-sentinel://a/ses ame", "name of the primary holds"},
        {"redis-sentinel://a/" TIMES_50("123"), "longer than 127"},
        {"redis-sentinel://a,/n", "host is missing"},
        {"redis-sentinel://,a/n", "host is missing"},
        {"redis-sentinel://a:0,b/n", "port"},
        {"redis-sentinel://::1,b/n", "brackets"},
        {"redis-sentinel://sesame@a/n", "user:password"},
        {"redis-sentinel://1,2,3,4,5,6,7,8,9/n", "more than 8"},
        {"unix://run/redis.sock", "begin with '/'"},
        {"unix://", "begin with '/'"},
        {"unix://sesame@/s", "user:password"},
        {"redis://:ses/ame@h", "%2F"},
        {"redis://bob:sesame/@h:6379/0", "%2F"},
        {"redis://bob:1/2@h", "%2F"},
        {"redis://bob:ses@me/x@h", "%2F"},
        {"redis-sentinel://bob:ses/ame@a,b/n", "%2F"},
        {"redis-cluster://bob:ses/ame@a,b", "%2F"},
        {"unix://bob:ses/ame@/run/redis.sock", "%2F"},
        {"unix:///run/a@b.sock", NULL},
        {"unix://bob:pw@/run/a@b.sock", NULL},
        {"unix:///" TIMES_50("12"), NULL},
        {"unix:///" TIMES_50("12") "1234567", "107 bytes"},
        {"unix:///s?", "?db=N"},
        {"unix:///s?sesame=1", "?db=N"},
        {"unix:///s?db=", "database"},
        {"unix:///s?db=1&x=2", "database"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i)
        check_refusal(rows[i].text, rows[i].part);
}

static void check_refused_cluster(void)
{
    static const char *const rows[][2] = {
        {"redis-cluster://", "host is missing"},
        {"redis-cluster://a,,b", "host is missing"},
        {"redis-cluster://a:7000,b:x", "port"},
        {"redis-cluster://a,b/1", "only database 0"},
        {"redis-cluster://a/sesame", "database"},
        {"redis-cluster://sesame@a", "user:password"},
        {"redis-cluster://1,2,3,4,5,6,7,8,9", "more than 8 nodes"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i)
        check_refusal(rows[i][0], rows[i][1]);
}

static void check_short_place(void)
{
    struct redis_url url;
    char place[6];
    check(redis_url_parse(&url, "redis://localhost:1") == NULL, "a URL");
    check_slice(slice_of(redis_url_place(place, sizeof(place), &url)), SLICE("local"), "a place that does not fit is cut");
    check(redis_url_parse(&url, "redis-sentinel://a:1,b:2/n") == NULL, "a URL");
    check_slice(slice_of(redis_url_place(place, sizeof(place), &url)), SLICE("a:1,b"), "nor one of sentinels");
}

int main(void)
{
    check_tcp();
    check_unix();
    check_sentinel();
    check_cluster();
    check_sentinel_password();
    check_database_and_prefix();
    check_nodes();
    check_refused();
    check_refused_cluster();
    check_short_place();
    return check_end();
}
