#include "runtime/net/client_address.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "runtime/net/proxies.h"
#include "tests/check.h"

static const struct {
    const char *text, *want; /* NULL: no address */
} spellings[] = {
    {"192.0.2.1", "::ffff:192.0.2.1"},
    {"192.0.2.1:80", "::ffff:192.0.2.1"},
    {"192.0.2.1:65535", "::ffff:192.0.2.1"},
    {"2001:db8::1", "2001:db8::1"},
    {"[2001:db8::1]", "2001:db8::1"},
    {"[2001:db8::1]:443", "2001:db8::1"},
    {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
    {"::", "::"},
    {"", NULL},
    {"unknown", NULL},
    {"_hidden", NULL},
    {"192.0.2", NULL},
    {"192.0.2.256", NULL},
    {"192.0.2.01", NULL},
    {" 192.0.2.1", NULL},
    {"192.0.2.1:", NULL},
    {"192.0.2.1:x", NULL},
    {"192.0.2.1:123456", NULL},
    {"[192.0.2.1]", NULL},
    {"[2001:db8::1", NULL},
    {"[2001:db8::1]x", NULL},
    {"[2001:db8::1]:", NULL},
    {"[]", NULL},
    {":80", NULL},
    {":", NULL},
    {"fe80::1%eth0", NULL},
    {"2001:0db8:0000:0000:0000:0000:0000:00001", NULL},
    {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb", NULL},
};

static const struct {
    const char *address, *network;
} networks[] = {
    {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
    {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
    {"2001:db8:1:2::", "2001:db8:1:2::"},
    {"::1", "::"},
    {"::fffe:192.0.2.1", "::"},
};

/* X-Forwarded-For headers, as many as there are up to NULL. */
static const struct {
    const char *what, *proxies, *peer, *forwarded[4], *want;
} requests[] = {
    {"nobody is trusted", "", "192.0.2.1", {"198.51.100.7"}, "192.0.2.1"},
    {"the peer is not trusted", "10.0.0.0/8", "192.0.2.1", {"198.51.100.7"}, "192.0.2.1"},
    {"a trusted peer names the client", "10.0.0.0/8", "10.0.0.1", {"198.51.100.7"}, "198.51.100.7"},
    {"a trusted peer says nothing", "10.0.0.0/8", "10.0.0.1", {NULL}, "10.0.0.1"},
    {"what the client wrote stands left", "10.0.0.0/8", "10.0.0.1", {"1.2.3.4, 198.51.100.7"}, "198.51.100.7"},
    {"the client claims to be a proxy", "10.0.0.0/8", "10.0.0.1", {"10.9.9.9, 198.51.100.7"}, "198.51.100.7"},
    {"two proxies", "10.0.0.0/8", "10.0.0.1", {"1.2.3.4, 198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
    {"two proxies, no spaces", "10.0.0.0/8", "10.0.0.1", {"198.51.100.7,10.0.0.2"}, "198.51.100.7"},
    {"several headers are one list", "10.0.0.0/8", "10.0.0.1", {"1.2.3.4", "198.51.100.7", "10.0.0.2"}, "198.51.100.7"},
    {"all are proxies", "10.0.0.0/8", "10.0.0.1", {"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
    {"garbage ends the walk", "10.0.0.0/8", "10.0.0.1", {"198.51.100.7, x, 10.0.0.2"}, "10.0.0.2"},
    {"garbage in one header, more in another", "10.0.0.0/8", "10.0.0.1", {"198.51.100.7", "unknown"}, "10.0.0.1"},
    {"an empty item", "10.0.0.0/8", "10.0.0.1", {"198.51.100.7,"}, "10.0.0.1"},
    {"an empty header", "10.0.0.0/8", "10.0.0.1", {"198.51.100.7", ""}, "10.0.0.1"},
    {"with a port", "10.0.0.0/8", "10.0.0.1", {"198.51.100.7:5123"}, "198.51.100.7"},
    {"IPv6", "fd00::/8", "fd00::1", {"2001:db8::7"}, "2001:db8::7"},
    {"IPv6 peer, IPv4 client", "fd00::/8,10.0.0.0/8", "fd00::1", {"198.51.100.7, 10.0.0.1"}, "198.51.100.7"},
    {"a mapped peer is its IPv4 address", "10.0.0.0/8", "::ffff:10.0.0.1", {"198.51.100.7"}, "198.51.100.7"},
};

static const char *show(const struct client_address *address)
{
    static char text[INET6_ADDRSTRLEN];
    return inet_ntop(AF_INET6, address->bytes, text, sizeof(text));
}

static struct client_address address_of(const char *text)
{
    struct client_address address = {{0}};
    if (!client_address_parse(&address, slice_of(text)))
        printf("Bail out! %s\n", text);
    return address;
}

static bool same(const struct client_address *a, const struct client_address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static struct sockaddr_storage peer;

static socklen_t get_peername(h2o_conn_t *conn, struct sockaddr *out)
{
    (void)conn;
    memcpy(out, &peer, sizeof(peer));
    return peer.ss_family == AF_UNSPEC ? 0 : sizeof(peer);
}

static void set_peer(const char *text)
{
    memset(&peer, 0, sizeof(peer));
    if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&peer)->sin_addr) == 1)
        peer.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&peer)->sin6_addr) == 1)
        peer.ss_family = AF_INET6;
}

static struct client_address ask(const char *list, const char *const *forwarded)
{
    static const h2o_conn_callbacks_t callbacks = {.get_peername = get_peername};
    h2o_conn_t conn = {.callbacks = &callbacks};
    h2o_req_t req = {.conn = &conn};
    const struct proxies *proxies = proxies_parse(list);
    h2o_mem_init_pool(&req.pool);
    for (size_t i = 0; i < 4 && forwarded[i] != NULL; ++i) {
        h2o_add_header(&req.pool, &req.headers, H2O_TOKEN_X_FORWARDED_FOR, NULL, forwarded[i], strlen(forwarded[i]));
        h2o_add_header(&req.pool, &req.headers, H2O_TOKEN_USER_AGENT, NULL, "203.0.113.1", 11);
    }
    struct client_address client = proxies_client(proxies, &req);
    h2o_mem_clear_pool(&req.pool);
    free((void *)(uintptr_t)proxies);
    return client;
}

int main(void)
{
    struct client_address got, want;
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); ++i) {
        bool good = client_address_parse(&got, slice_of(spellings[i].text));
        check(good == (spellings[i].want != NULL), "'%s' is %s address", spellings[i].text,
              spellings[i].want == NULL ? "no" : "an");
        if (good)
            check(strcmp(show(&got), spellings[i].want) == 0, "'%s' is %s", spellings[i].text, spellings[i].want);
    }
    check(!client_address_parse(&got, slice_make("1.2.3.4\0x", 9)), "a NUL is in no address");
    for (size_t i = 0; i < sizeof(networks) / sizeof(networks[0]); ++i) {
        want = address_of(networks[i].network);
        got = client_address_network(address_of(networks[i].address));
        check(same(&got, &want), "%s counts as %s", networks[i].address, networks[i].network);
    }
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); ++i) {
        set_peer(requests[i].peer);
        want = address_of(requests[i].want);
        got = ask(requests[i].proxies, requests[i].forwarded);
        check(same(&got, &want), "%s: the client is %s (%s)", requests[i].what, requests[i].want, show(&got));
    }
    set_peer("");
    got = ask("::/0", (const char *const[4]){"198.51.100.7"});
    check(same(&got, &(struct client_address){{0}}), "a connection without an address is that of nobody, whatever it says");
    return check_end();
}
