#include "gateway/http/upstream.h"

#include "gateway/counters.h"
#include "proto/channel.h"
#include "runtime/h2o/target.h"
#include "runtime/http.h"
#include "runtime/log.h"
#include "runtime/monotonic.h"

enum { CALM_MS = 1000 }; /* an answer that much after the last failure ends a time of failures */

static void count(enum forward_outcome outcome)
{
    metric_add((size_t)COUNT_FORWARDED + outcome, 1);
}

/* The proxy of libh2o sets it, and nothing else does. */
static bool is_forwarded(const h2o_req_t *req)
{
    return req->overrides != NULL;
}

/* ---- one line when the publisher goes, and one when it is back ---- */

static void failed(struct site *site, const char *why)
{
    atomic_store(&site->publisher.failed_ms, monotonic_ms());
    atomic_fetch_add(&site->publisher.failures, 1);
    if (!atomic_exchange(&site->publisher.away, true))
        log_warn("the publisher does not answer", log_str("why", why), log_str("publisher_url", site->publisher.text));
}

static void succeeded(struct site *site)
{
    if (!atomic_load_explicit(&site->publisher.away, memory_order_relaxed) ||
        monotonic_ms() - atomic_load(&site->publisher.failed_ms) < CALM_MS)
        return;
    if (atomic_exchange(&site->publisher.away, false))
        log_info("the publisher answers again", log_int("failed_posts", atomic_exchange(&site->publisher.failures, 0)));
}

/* ---- the head of a request ---- */

/* JWT_KEY_FILE and POLICY_FILE, as the publisher itself judges. False when it was answered. Channels that stand in the body only the publisher can
 * judge; where tokens are checked here it is told so, and refuses if it checks none. */
static bool is_allowed(h2o_req_t *req, struct slice channel)
{
    struct access_pass pass;
    if (channel.p == NULL) {
        if (site_worker_of(req)->access != NULL)
            h2o_add_header_by_str(&req->pool, &req->headers, H2O_STRLIT("sse-tokens"), 0, NULL, H2O_STRLIT("checked"));
        return true;
    }
    const char *error = channel_check(channel);
    if (error != NULL) {
        http_error(req, 400, error);
        return false;
    }
    error = access_check(site_worker_of(req)->access, req, ACCESS_PUBLISH, &channel, 1, &pass);
    if (error != NULL)
        http_error(req, pass.status, error);
    return error == NULL;
}

/* Room for all values of the field with a separator between them; 0 when there are fewer than two. */
static size_t joined_bytes(const h2o_headers_t *headers, const h2o_token_t *name)
{
    size_t bytes = 0, count = 0;
    for (size_t i = 0; i < headers->size; ++i)
        if (headers->entries[i].name == &name->buf) {
            bytes += headers->entries[i].value.len + 2;
            ++count;
        }
    return count < 2 ? 0 : bytes;
}

static void append(h2o_iovec_t *text, const char *bytes, size_t n)
{
    memcpy(text->base + text->len, bytes, n);
    text->len += n;
}

/* The first of the fields gets all values, the others go. */
static void join(h2o_req_t *req, const h2o_token_t *name, const char *separator)
{
    h2o_headers_t *headers = &req->headers;
    size_t bytes = joined_bytes(headers, name), kept = 0, first = SIZE_MAX;
    if (bytes == 0)
        return;
    h2o_iovec_t all = h2o_iovec_init(h2o_mem_alloc_pool(&req->pool, bytes), 0);
    for (size_t i = 0; i < headers->size; ++i) {
        h2o_header_t *header = &headers->entries[i];
        if (header->name == &name->buf) {
            if (all.len != 0 && header->value.len != 0)
                append(&all, separator, 2);
            append(&all, header->value.base, header->value.len);
            if (first != SIZE_MAX)
                continue;
            first = kept;
        }
        headers->entries[kept++] = *header;
    }
    headers->size = kept;
    headers->entries[first].value = all;
}

/* Makes one field each of those that libh2o's proxy would join one by one, copying all before at each (proxy.c, build_request_merge_headers()). */
static void merge_fields(h2o_req_t *req)
{
    join(req, H2O_TOKEN_COOKIE, "; ");
    join(req, H2O_TOKEN_VIA, ", ");
    join(req, H2O_TOKEN_X_FORWARDED_FOR, ", ");
}

/* ---- a request ---- */

static void on_request_gone(void *data)
{
    atomic_fetch_sub(&(*(struct site **)data)->publisher.under_way, 1);
}

/* False when it was answered with 503. */
static bool take_place(h2o_req_t *req)
{
    struct site *site = site_of(req);
    if (atomic_fetch_add(&site->publisher.under_way, 1) >= site->publisher.max_under_way) {
        atomic_fetch_sub(&site->publisher.under_way, 1);
        count(FORWARD_BUSY);
        http_error_later(req, 503, 1, "too many publish requests are under way at this gateway; nothing was published, try again");
        return false;
    }
    struct site **hook = h2o_mem_alloc_shared(&req->pool, sizeof(*hook), on_request_gone);
    *hook = site;
    return true;
}

/* libh2o's proxy writes the target and the host into its HTTP/1.1 request as they are. Both guards (runtime/h2o) have looked at them; that no byte
 * here ends a line or a word must not depend on them alone. Names and values of fields are checked by the library's parsers. */
static bool is_sendable(const h2o_req_t *req)
{
    struct slice authority = slice_of_iovec(req->authority);
    return target_is_path(slice_of_iovec(req->path)) && (authority.n == 0 || target_is_authority(authority));
}

bool upstream_begin(h2o_req_t *req, struct slice channel)
{
    if (!is_sendable(req)) {
        http_error(req, 400, "the path or the host holds a byte that HTTP/1.1 does not allow");
        return false;
    }
    if (!is_allowed(req, channel) || !take_place(req))
        return false;
    merge_fields(req);
    return true;
}

/* What this thread's own error, which also passes upstream_answered(), is for. */
static _Thread_local const h2o_req_t *failing;

static const char *on_library_error(h2o_req_t *req, int status, const char *why)
{
    if (!is_forwarded(req) || status < 500)
        return why;
    bool reached = strncmp(why, "connection", 10) != 0;
    failing = req;
    count(reached ? FORWARD_BROKEN : FORWARD_UNREACHED);
    failed(site_of(req), why);
    http_add_header(req, "retry-after", SLICE("1"));
    return reached ? "the publisher's answer was cut off; the event may have been published, so send it again with the same "
                     "Idempotency-Key"
                   : "the publisher cannot be reached; nothing was published, try again";
}

void upstream_answered(h2o_req_t *req)
{
    if (!is_forwarded(req))
        return;
    if (failing == req) {
        failing = NULL;
        return;
    }
    int hundreds = req->res.status / 100;
    count(hundreds == 5 ? FORWARD_UNAVAILABLE : hundreds == 4 ? FORWARD_REFUSED : FORWARD_DONE);
    succeeded(site_of(req));
}

void upstream_register(struct site *site, h2o_pathconf_t *path, SSL_CTX *tls)
{
    h2o_proxy_config_vars_t proxy = {.io_timeout = 30000, .preserve_host = 1, .keepalive_timeout = 2000, .ssl_ctx = tls};
    h2o_proxy_register_reverse_proxy(path, &site->publisher.url, &proxy);
    site->publisher.proxy = path->handlers.entries[path->handlers.size - 1];
    http_library_error = on_library_error;
}

void upstream_set_tls(struct site_worker *worker, SSL_CTX *tls)
{
    h2o_http1client_ctx_t *client = h2o_context_get_handler_context(&worker->ctx, worker->site->publisher.proxy);
    client->ssl_ctx = tls;
    SSL_CTX_free(worker->publisher_tls);
    worker->publisher_tls = tls;
}
