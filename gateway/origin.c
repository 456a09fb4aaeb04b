#include "gateway/origin.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>

#include "runtime/http.h"

struct network {
    uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;
};

struct origin_proxies {
    size_t count;
    struct network networks[];
};

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool parse_address(struct network *out, const char *text)
{
    if (inet_pton(AF_INET, text, out->bytes + 12) == 1) {
        memcpy(out->bytes, mapped, sizeof(mapped));
        out->bits = 128;
        return true;
    }
    out->bits = 128;
    return inet_pton(AF_INET6, text, out->bytes) == 1;
}

/* "address" or "address/bits". */
static bool parse_network(struct network *out, struct slice item)
{
    char text[64];
    if (item.n == 0 || item.n >= sizeof(text))
        return false;
    memcpy(text, item.p, item.n);
    text[item.n] = 0;
    char *slash = strchr(text, '/');
    if (slash == NULL)
        return parse_address(out, text);
    *slash++ = 0;
    bool v4 = strchr(text, ':') == NULL;
    char *end;
    if (!isdigit((unsigned char)*slash))
        return false;
    unsigned long bits = strtoul(slash, &end, 10);
    if (*end != 0 || bits > (v4 ? 32 : 128) || !parse_address(out, text))
        return false;
    out->bits = (unsigned)bits + (v4 ? 96 : 0);
    return true;
}

const char *origin_proxies_check(const char *list)
{
    for (struct slice rest = slice_of(list); rest.p != NULL && rest.n != 0;) {
        struct network network;
        if (!parse_network(&network, slice_trim(slice_split(&rest, ','))))
            return "must be addresses or networks like 10.0.0.0/8, comma-separated";
    }
    return NULL;
}

const struct origin_proxies *origin_proxies_parse(const char *list)
{
    size_t count = 0;
    for (struct slice rest = slice_of(list); rest.p != NULL && rest.n != 0; ++count)
        slice_split(&rest, ',');
    struct origin_proxies *proxies = h2o_mem_alloc(sizeof(*proxies) + count * sizeof(proxies->networks[0]));
    proxies->count = 0;
    for (struct slice rest = slice_of(list); rest.p != NULL && rest.n != 0;)
        parse_network(&proxies->networks[proxies->count++], slice_trim(slice_split(&rest, ',')));
    return proxies;
}

static bool within(const struct network *network, const uint8_t address[16])
{
    unsigned whole = network->bits / 8, part = network->bits % 8;
    if (memcmp(network->bytes, address, whole) != 0)
        return false;
    return part == 0 || ((network->bytes[whole] ^ address[whole]) >> (8 - part)) == 0;
}

bool origin_trusted(const struct origin_proxies *proxies, const struct sockaddr *address)
{
    uint8_t bytes[16];
    if (address->sa_family == AF_INET) {
        memcpy(bytes, mapped, sizeof(mapped));
        memcpy(bytes + 12, &((const struct sockaddr_in *)address)->sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        memcpy(bytes, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
    } else {
        return false;
    }
    for (size_t i = 0; i < proxies->count; ++i)
        if (within(&proxies->networks[i], bytes))
            return true;
    return false;
}

static bool from_trusted_peer(const struct origin_proxies *proxies, h2o_req_t *req)
{
    if (proxies->count == 0)
        return false;
    struct sockaddr_storage peer;
    socklen_t len = req->conn->callbacks->get_peername(req->conn, (void *)&peer);
    return len != 0 && origin_trusted(proxies, (void *)&peer);
}

struct origin origin_of(const struct origin_proxies *proxies, h2o_req_t *req)
{
    struct origin origin = {.https = req->input.scheme == &H2O_URL_SCHEME_HTTPS, .host = slice_of_iovec(req->input.authority)};
    if (!from_trusted_peer(proxies, req))
        return origin;
    struct slice scheme = http_header(req, "x-forwarded-proto");
    if (scheme.p != NULL) {
        origin.forwarded = true;
        origin.https = scheme.n == 5 && strncasecmp(scheme.p, "https", 5) == 0;
    }
    struct slice host = http_header(req, "x-forwarded-host");
    if (host.n != 0)
        origin.host = host;
    origin.port = http_header(req, "x-forwarded-port");
    return origin;
}

static bool plain_host(struct slice host)
{
    if (host.n == 0 || host.n > 255)
        return false;
    for (size_t i = 0; i < host.n; ++i)
        if (!isalnum((unsigned char)host.p[i]) && strchr(".-_:[]", host.p[i]) == NULL)
            return false;
    return true;
}

/* Without ":port"; an IPv6 address keeps its brackets. */
static struct slice without_port(struct slice host)
{
    const char *colon = memrchr(host.p, ':', host.n);
    if (colon == NULL || memchr(colon, ']', (size_t)(host.p + host.n - colon)) != NULL)
        return host;
    return slice_make(host.p, (size_t)(colon - host.p));
}

static bool all_digits(struct slice text)
{
    for (size_t i = 0; i < text.n; ++i)
        if (!isdigit((unsigned char)text.p[i]))
            return false;
    return text.n != 0 && text.n <= 5;
}

struct slice origin_https_url(h2o_req_t *req, const struct origin *origin, int tls_port)
{
    if (!plain_host(origin->host))
        return (struct slice){NULL, 0};
    struct slice host = without_port(origin->host);
    char port[8] = "";
    /* a forwarded plain request's port is the proxy's plain one: its TLS side is 443 unless the proxy says that it listens elsewhere */
    if (origin->forwarded && all_digits(origin->port) && !slice_eq(origin->port, SLICE("80")) &&
        !slice_eq(origin->port, SLICE("443")))
        snprintf(port, sizeof(port), ":%.*s", (int)origin->port.n, origin->port.p);
    else if (!origin->forwarded && tls_port != 0 && tls_port != 443)
        snprintf(port, sizeof(port), ":%d", tls_port);
    h2o_iovec_t url = h2o_concat(&req->pool, h2o_iovec_init(H2O_STRLIT("https://")), iovec_of_slice(host),
                                 h2o_iovec_init(port, strlen(port)), req->input.path);
    return slice_of_iovec(url);
}
