#include "runtime/net/forwarded.h"

#include <ctype.h>

#include "runtime/digits.h"
#include "runtime/h2o/target.h"
#include "runtime/http.h"

static bool from_trusted_peer(const struct proxies *proxies, h2o_req_t *req)
{
    struct sockaddr_storage peer;
    socklen_t len = req->conn->callbacks->get_peername(req->conn, (void *)&peer);
    return len != 0 && proxies_trust(proxies, (void *)&peer);
}

struct origin origin_of(const struct proxies *proxies, h2o_req_t *req)
{
    struct origin origin = {.https = req->input.scheme == &H2O_URL_SCHEME_HTTPS, .host = slice_of_iovec(req->input.authority)};
    if (!from_trusted_peer(proxies, req))
        return origin;
    struct slice scheme = http_header(req, "x-forwarded-proto");
    if (scheme.p != NULL) {
        origin.forwarded = true;
        origin.https = slice_eq_nocase(scheme, SLICE("https"));
    }
    struct slice host = http_header(req, "x-forwarded-host");
    if (host.n != 0)
        origin.host = host;
    origin.port = http_header(req, "x-forwarded-port");
    return origin;
}

enum cors_verdict origin_verdict(const char *origins, const struct proxies *proxies, h2o_req_t *req)
{
    return cors_judge(origins, http_header(req, "origin"), origin_of(proxies, req).host);
}

static bool plain_host(struct slice host)
{
    if (host.n == 0 || host.n > 255)
        return false;
    for (size_t i = 0; i < host.n; ++i)
        if (!isalnum((unsigned char)host.p[i]) && memchr(".-_:[]", host.p[i], 6) == NULL)
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

/* What begins another host ("@", ":8080") or another header (a line break, by HTTP/2) must not follow the authority. */
static bool plain_target(struct slice target)
{
    return target.n == 0 || (target_is_path(target) && (target.p[0] == '/' || target.p[0] == '?'));
}

struct slice origin_https_url(h2o_req_t *req, const struct origin *origin, int tls_port)
{
    struct slice target = http_target(req), host = plain_host(origin->host) ? without_port(origin->host) : SLICE("");
    if (host.n == 0 || !plain_target(target))
        return (struct slice){NULL, 0};
    char port[8] = "";
    /* a forwarded plain request's port is the proxy's plain one: its TLS side is 443 unless the proxy says that it listens elsewhere */
    if (origin->forwarded && digits_are_port(origin->port) && !slice_eq(origin->port, SLICE("80")) &&
        !slice_eq(origin->port, SLICE("443")))
        snprintf(port, sizeof(port), ":%.*s", (int)origin->port.n, origin->port.p);
    else if (!origin->forwarded && tls_port != 0 && tls_port != 443)
        snprintf(port, sizeof(port), ":%d", tls_port);
    h2o_iovec_t url = h2o_concat(&req->pool, h2o_iovec_init(H2O_STRLIT("https://")), iovec_of_slice(host),
                                 h2o_iovec_init(port, strlen(port)), iovec_of_slice(target));
    return slice_of_iovec(url);
}
