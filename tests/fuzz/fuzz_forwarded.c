/* Input: the fields TRUSTED_PROXIES, peer (4 or 16 bytes, with 0xff as 0xfe), path, and then header lines.
 * Trust is membership bit by bit. Without it no header counts. The URL of a redirect to https is that of a host and a path, with nothing in it that
 * could begin another header or lead to another host. */
#include "runtime/net/forwarded.h"

#include <arpa/inet.h>
#include <strings.h>

#include "runtime/http.h"
#include "tests/fuzz/request.h"

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    for (unsigned i = 0; i != bits; ++i)
        if ((a[i / 8] >> (7 - i % 8) & 1) != (b[i / 8] >> (7 - i % 8) & 1))
            return false;
    return true;
}

/* An IPv4 address, also the one in ::ffff:a.b.c.d, as 4 bytes; another as 16; the number of bits of the family, 0 when there is none. */
static unsigned bytes_of(uint8_t bytes[16], const struct sockaddr_storage *address)
{
    const struct sockaddr_in6 *six = (const void *)address;
    if (address->ss_family == AF_INET) {
        memcpy(bytes, &((const struct sockaddr_in *)address)->sin_addr, 4);
        return 32;
    }
    if (address->ss_family != AF_INET6)
        return 0;
    bool is_mapped = IN6_IS_ADDR_V4MAPPED(&six->sin6_addr);
    memcpy(bytes, six->sin6_addr.s6_addr + (is_mapped ? 12 : 0), is_mapped ? 4 : 16);
    return is_mapped ? 32 : 128;
}

static bool item_trusts(struct slice item, const uint8_t *peer, unsigned peer_bits)
{
    struct slice bits_text = item, name = slice_split(&bits_text, '/'), text = own(name, true), digits = own(bits_text, true);
    struct sockaddr_storage network = {.ss_family = strchr(text.p, ':') != NULL ? AF_INET6 : AF_INET};
    struct sockaddr_in6 *six = (void *)&network;
    uint8_t bytes[16], whole[16];
    void *place = network.ss_family == AF_INET6 ? (void *)&six->sin6_addr : (void *)&((struct sockaddr_in *)&network)->sin_addr;
    must(inet_pton(network.ss_family, text.p, place) == 1);
    unsigned family = bytes_of(bytes, &network), bits = bits_text.p == NULL ? family : (unsigned)strtoul(digits.p, NULL, 10);
    disown(text);
    disown(digits);
    if (network.ss_family == AF_INET || bits_text.p == NULL)
        return family == peer_bits && bits_equal(bytes, peer, bits);
    /* a network written as IPv6 also holds IPv4 addresses: those mapped into it */
    memcpy(whole, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
    memcpy(peer_bits == 32 ? whole + 12 : whole, peer, peer_bits / 8);
    return bits_equal(six->sin6_addr.s6_addr, whole, bits);
}

static bool trusts(struct slice list, const struct sockaddr_storage *peer)
{
    uint8_t bytes[16];
    unsigned bits = bytes_of(bytes, peer);
    bool found = false;
    while (list.p != NULL && list.n != 0 && bits != 0)
        found |= item_trusts(slice_trim(slice_split(&list, ',')), bytes, bits);
    return found;
}

static void read_peer(struct sockaddr_storage *peer, struct slice bytes)
{
    *peer = (struct sockaddr_storage){.ss_family = bytes.n == 4 ? AF_INET : bytes.n == 16 ? AF_INET6 : AF_UNSPEC};
    if (bytes.n == 4)
        memcpy(&((struct sockaddr_in *)peer)->sin_addr, bytes.p, 4);
    else if (bytes.n == 16)
        memcpy(&((struct sockaddr_in6 *)peer)->sin6_addr, bytes.p, 16);
}

static void check_url(struct slice url, struct slice target)
{
    must(slice_starts(url, SLICE("https://")) && url.n > 8 + target.n);
    struct slice authority = slice_make(url.p + 8, url.n - 8 - target.n);
    must(authority.n <= 255 + 6 && slice_eq(slice_from(url, 8 + authority.n), target));
    for (size_t i = 0; i != authority.n; ++i)
        must(memchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]", authority.p[i], 68) != NULL);
    for (size_t i = 0; i != target.n; ++i)
        must((unsigned char)target.p[i] > ' ' && target.p[i] != 0x7f);
    must(target.n == 0 || target.p[0] == '/' || target.p[0] == '?');
}

static void check_origin(const struct proxies *proxies, struct request *request, bool trusted)
{
    h2o_req_t *req = &request->req;
    struct origin origin = origin_of(proxies, req);
    if (!trusted)
        must(!origin.https && !origin.forwarded && slice_eq(origin.host, SLICE("example.com")) && origin.port.p == NULL);
    must(!origin.https || origin.forwarded);
    for (int port = 0; port <= 4443; port += 4443) {
        struct slice url = origin_https_url(req, &origin, port);
        if (url.p != NULL)
            check_url(url, http_target(req));
    }
}

/* Nobody whom we don't trust may say who the client is. */
static void check_client(const struct proxies *proxies, struct request *request, bool trusted)
{
    struct client_address client = proxies_client(proxies, &request->req), peer = {{0}};
    client_address_read(&peer, (const struct sockaddr *)&request->peer);
    must(trusted || memcmp(&client, &peer, sizeof(peer)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make((const char *)data, size), list_field = next_field(&rest);
    struct slice list = own(slice_make(list_field.p, strnlen(list_field.p, list_field.n)), true);
    struct request request;
    if (proxies_check(list.p) == NULL) {
        struct slice peer = next_field(&rest);
        request_open(&request, SLICE("GET"), next_field(&rest));
        read_peer(&request.peer, peer);
        while (rest.p != NULL)
            request_add_header(&request, next_field(&rest));
        const struct proxies *proxies = proxies_parse(list.p);
        bool trusted = trusts(list, &request.peer);
        must(proxies_trust(proxies, (const struct sockaddr *)&request.peer) == trusted);
        check_origin(proxies, &request, trusted);
        check_client(proxies, &request, trusted);
        request_close(&request);
        free((void *)(uintptr_t)proxies);
    }
    disown(list);
    return 0;
}
