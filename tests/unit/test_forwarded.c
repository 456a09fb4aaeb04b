#include "runtime/net/forwarded.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "tests/check.h"

static const struct {
    const char *list;
    bool good;
} lists[] = {
    {"", true},
    {"127.0.0.1", true},
    {"10.0.0.0/8, ::1 ,fd00::/8", true},
    {"0.0.0.0/0", true},
    {"10.0.0.0/33", false},
    {"::1/129", false},
    {"10.0.0/8", false},
    {"example.com", false},
    {"10.0.0.0/", false},
    {"10.0.0.0/-1", false},
    {"10.0.0.0/8x", false},
    {"127.0.0.1,,::1", false},
};

static const struct {
    const char *list, *address;
    bool trusted;
} rows[] = {
    {"", "127.0.0.1", false},
    {"127.0.0.1", "127.0.0.1", true},
    {"127.0.0.1", "127.0.0.2", false},
    {"127.0.0.1", "::ffff:127.0.0.1", true},
    {"::ffff:127.0.0.1", "127.0.0.1", true},
    {"10.0.0.0/8", "10.255.0.1", true},
    {"10.0.0.0/8", "11.0.0.1", false},
    {"10.128.0.0/9", "10.127.255.255", false},
    {"10.128.0.0/9", "10.128.0.0", true},
    {"0.0.0.0/0", "8.8.8.8", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"fd00::/8,::1", "fd12:3456::1", true},
    {"fd00::/8,::1", "::1", true},
    {"fd00::/8,::1", "fe80::1", false},
    {"::/0", "2001:db8::1", true},
};

static bool trusted(const char *list, const struct sockaddr_storage *address)
{
    const struct proxies *proxies = proxies_parse(list);
    bool answer = proxies_trust(proxies, (const struct sockaddr *)address);
    free((void *)proxies);
    return answer;
}

static struct sockaddr_storage parse(const char *text)
{
    struct sockaddr_storage storage = {.ss_family = strchr(text, ':') == NULL ? AF_INET : AF_INET6};
    void *place = storage.ss_family == AF_INET ? (void *)&((struct sockaddr_in *)&storage)->sin_addr
                                               : (void *)&((struct sockaddr_in6 *)&storage)->sin6_addr;
    if (inet_pton(storage.ss_family, text, place) != 1)
        storage.ss_family = AF_UNSPEC;
    return storage;
}

/* Where FORCE_SSL sends a plain request; url NULL: nowhere. */
static const struct {
    const char *fact;
    struct slice host;
    const char *target, *url;
} redirects[] = {
    {"host and path", {"a.example", 9}, "/sse?a=b", "https://a.example/sse?a=b"},
    {"the port of the plain side goes", {"a.example:8080", 14}, "/", "https://a.example/"},
    {"an IPv6 address keeps its brackets", {"[::1]:80", 8}, "/", "https://[::1]/"},
    {"a query alone", {"a.example", 9}, "?x", "https://a.example?x"},
    {"a NUL in the host", {"a\0b", 3}, "/", NULL},
    {"a host that is a port", {":80", 3}, "/", NULL},
    {"a user in the host", {"a@b", 3}, "/", NULL},
    {"a path that would go on with the host", {"a.example", 9}, "@evil.example/", NULL},
    {"a path with a line break", {"a.example", 9}, "/\r\nx: y", NULL},
};

static void test_redirects(void)
{
    for (size_t i = 0; i != sizeof(redirects) / sizeof(redirects[0]); ++i) {
        h2o_req_t req = {NULL};
        struct origin origin = {.host = redirects[i].host};
        h2o_mem_init_pool(&req.pool);
        req.input.path = req.path = h2o_iovec_init(redirects[i].target, strlen(redirects[i].target));
        struct slice url = origin_https_url(&req, &origin, 443);
        if (redirects[i].url == NULL)
            check(url.p == NULL, "no redirect: %s", redirects[i].fact);
        else
            check_slice(url, slice_of(redirects[i].url), "redirect: %s", redirects[i].fact);
        h2o_mem_clear_pool(&req.pool);
    }
}

int main(void)
{
    test_redirects();
    for (size_t i = 0; i != sizeof(lists) / sizeof(lists[0]); ++i)
        check((proxies_check(lists[i].list) == NULL) == lists[i].good, "TRUSTED_PROXIES='%s' is %s", lists[i].list,
              lists[i].good ? "taken" : "refused");
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        struct sockaddr_storage address = parse(rows[i].address);
        check(trusted(rows[i].list, &address) == rows[i].trusted, "%s is %strusted by '%s'", rows[i].address,
              rows[i].trusted ? "" : "not ", rows[i].list);
    }
    struct sockaddr_storage unix_socket = {.ss_family = AF_UNIX};
    check(!trusted("0.0.0.0/0,::/0", &unix_socket), "a unix socket has no address to trust");
    return check_end();
}
