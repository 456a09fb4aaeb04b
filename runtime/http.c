#include "runtime/http.h"

#include <strings.h>

#include "runtime/digits.h"
#include "runtime/h2o/h2_guard.h"
#include "runtime/json.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/reason.h"
#include "runtime/h2o/bodies.h"

struct slice http_json_text(h2o_req_t *req, struct slice name, struct slice text)
{
    char *out = h2o_mem_alloc_pool(&req->pool, json_quoted_max(name.n) + json_quoted_max(text.n) + 3);
    size_t n = 0;
    out[n++] = '{';
    n += json_quote(out + n, name);
    out[n++] = ':';
    n += json_quote(out + n, text);
    out[n++] = '}';
    return slice_make(out, n);
}

/* What libh2o does before its handlers run, for a request that fails while it is still being read: later steps (filters, the access log)
 * rely on these fields. libh2o would look for the host by name as well; each of our listeners serves one host. */
static void bind_unprocessed(h2o_req_t *req)
{
    h2o_hostconf_t *host = req->conn->hosts[0];
    h2o_get_timestamp(req->conn->ctx, &req->pool, &req->processed_at);
    if (req->input.authority.base == NULL)
        req->input.authority = host->authority.hostport;
    req->scheme = req->input.scheme;
    req->method = req->input.method;
    req->authority = req->input.authority;
    req->path = req->input.path;
    req->path_normalized = h2o_url_normalize_path(&req->pool, req->path.base, req->path.len, &req->query_at, &req->norm_indexes);
    req->input.query_at = req->query_at;
    h2o_req_bind_conf(req, host, &host->fallback_path);
}

static void set_head(h2o_req_t *req, int status, const char *reason, const char *type, struct slice body)
{
    req->res.status = status;
    req->res.reason = reason;
    /* RFC 9110 sections 8.6 and 15.4.5: a 204 must not have a length, and a 304's would be that of the 200. */
    if (status != 204 && status != 304) {
        req->res.content_length = body.n;
        h2o_set_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, type, strlen(type), 1);
    }
}

static void send_whole(h2o_req_t *req, int status, const char *reason, const char *type, struct slice body)
{
    set_head(req, status, reason, type, body);
    h2_guard_answer(req, body.n, true);
    h2o_send_inline(req, body.n == 0 ? "" : body.p, body.n);
}

static void send_error(h2o_req_t *req, int status, const char *reason, const char *body, int flags)
{
    if (req->pathconf == NULL)
        bind_unprocessed(req);
    if ((flags & H2O_SEND_ERROR_HTTP1_CLOSE_CONNECTION) != 0)
        req->http1_is_persistent = 0;
    send_whole(req, status, reason_phrase(status, reason), "application/json", http_json_text(req, SLICE("error"), slice_of(body)));
}

static const struct proxies *trusted;

void http_trust(const struct proxies *proxies)
{
    trusted = proxies;
}

static const int logged[] = {401, 403, 421, 429};
enum { LOGGED = sizeof(logged) / sizeof(logged[0]) };

/* "request refused" at info, with the client's address, when the status is one of those. Of each at most LOG_BUDGET_LINES a second and thread;
 * the next line says how many were left out. The query is not logged: it may hold a token. */
static void log_refusal(h2o_req_t *req, int status, const char *why)
{
    static _Thread_local struct log_budget budgets[LOGGED];
    size_t kind = 0;
    int64_t left_out;
    while (kind != LOGGED && logged[kind] != status)
        ++kind;
    if (kind == LOGGED || !log_budget_take(&budgets[kind], &left_out))
        return;
    char address[CLIENT_ADDRESS_TEXT_MAX];
    struct client_address client = proxies_client(trusted, req);
    struct slice path = http_target(req);
    log_info("request refused", log_int("status", status), log_str("why", why),
             log_str("client", client_address_print(&client, address)), log_slice("method", slice_of_iovec(req->method)),
             log_slice("path", slice_split(&path, '?')), log_slice("origin", http_header(req, "origin")),
             log_int("left_out", left_out));
}

const char *(*http_library_error)(h2o_req_t *req, int status, const char *why);

/* See bodies_refusal(). */
static const char *refused_body(h2o_req_t *req, int *status)
{
    const char *refusal = bodies_refusal(req, status);
    if (refusal != NULL && *status != 413)
        http_add_header(req, "retry-after", SLICE("5"));
    return refusal;
}

/* Replaces the library's function of this name (h2o/library.h), which sends text/plain. Flags and side effects are the library's. */
void h2o_send_error_generic(h2o_req_t *req, int status, const char *reason, const char *body, int flags)
{
    if ((flags & H2O_SEND_ERROR_KEEP_HEADERS) == 0)
        req->res.headers = (h2o_headers_t){NULL};
    const char *refusal = refused_body(req, &status);
    if (refusal != NULL) {
        log_refusal(req, status, refusal);
        send_error(req, status, reason, refusal, flags);
        return;
    }
    if (http_library_error != NULL)
        body = http_library_error(req, status, body);
    send_error(req, status, reason, body, flags);
}

void http_error(h2o_req_t *req, int status, const char *sentence)
{
    log_refusal(req, status, sentence);
    send_error(req, status, "Error", sentence, status == 413 ? H2O_SEND_ERROR_HTTP1_CLOSE_CONNECTION : 0);
}

void http_error_later(h2o_req_t *req, int status, unsigned retry_s, const char *sentence)
{
    char seconds[16];
    if (retry_s != 0)
        http_add_header(req, "retry-after", slice_make(seconds, (size_t)snprintf(seconds, sizeof(seconds), "%u", retry_s)));
    http_error(req, status, sentence);
}

void http_send(h2o_req_t *req, int status, const char *type, struct slice body)
{
    send_whole(req, status, reason_phrase(status, "OK"), type, body);
}

void http_send_static(h2o_req_t *req, int status, const char *type, struct slice body)
{
    static h2o_generator_t none;
    h2o_iovec_t bytes = iovec_of_slice(body);
    set_head(req, status, reason_phrase(status, "OK"), type, body);
    h2_guard_answer(req, body.n, false);
    h2o_start_response(req, &none);
    /* as h2o_send_inline(): to HEAD without the body */
    h2o_send(req, &bytes, http_method_is(req, "HEAD") || body.n == 0 ? 0 : 1, H2O_SEND_STATE_FINAL);
}

void http_count(size_t first, int status)
{
    if (status >= 200 && status < 600)
        metric_add(first + (size_t)status / 100 - 2, 1);
}

const char *http_head_check(h2o_req_t *req, int *status)
{
    const char *refusal = refused_body(req, status);
    if (refusal != NULL)
        return refusal;
    if (req->input.path.len > HTTP_PATH_MAX) {
        *status = 414;
        return "the path and query are longer than 8192 bytes";
    }
    size_t total = 0;
    for (size_t i = 0; i < req->headers.size; ++i)
        total += req->headers.entries[i].name->len + req->headers.entries[i].value.len + sizeof(": \r\n") - 1;
    if (total > HTTP_HEADERS_MAX) {
        *status = 431;
        return "the headers are longer than 32768 bytes";
    }
    return NULL;
}

struct slice http_header(h2o_req_t *req, const char *name)
{
    ssize_t i = h2o_find_header_by_str(&req->headers, name, strlen(name), -1);
    if (i == -1)
        return (struct slice){NULL, 0};
    return slice_trim(slice_of_iovec(req->headers.entries[i].value));
}

static size_t header_count(const h2o_req_t *req, struct slice name)
{
    size_t found = 0;
    for (size_t i = 0; i < req->headers.size; ++i)
        found += slice_eq_nocase(slice_of_iovec(*req->headers.entries[i].name), name);
    return found;
}

const char *http_repeated(const h2o_req_t *req, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        if (header_count(req, slice_of(names[i])) > 1)
            return names[i];
    return NULL;
}

void http_add_header(h2o_req_t *req, const char *name, struct slice value)
{
    h2o_iovec_t copy = h2o_strdup(&req->pool, value.n == 0 ? "" : value.p, value.n);
    h2o_add_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 1, NULL, copy.base, copy.len);
}

bool http_method_is(h2o_req_t *req, const char *method)
{
    return slice_eq(slice_of_iovec(req->method), slice_of(method));
}

/* Percent-decodes into the pool; an escape that is not two hex digits stays as it is and sets *broken. */
static struct slice decode(h2o_req_t *req, struct slice text, bool plus_is_space, bool *broken)
{
    char *out = h2o_mem_alloc_pool(&req->pool, text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; ++i) {
        char c = text.p[i];
        if (c == '%') {
            int high = i + 2 < text.n ? digits_hex(text.p[i + 1]) : -1;
            int low = high < 0 ? -1 : digits_hex(text.p[i + 2]);
            if (low < 0) {
                *broken = true;
            } else {
                c = (char)(high << 4 | low);
                i += 2;
            }
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        out[n++] = c;
    }
    return slice_make(out, n);
}

struct slice http_path(h2o_req_t *req)
{
    struct slice rest = http_target(req);
    struct slice raw = slice_split(&rest, '?');
    if (raw.n == 0)
        return SLICE("/");
    bool broken = false;
    struct slice path = decode(req, raw, false, &broken);
    return broken ? (struct slice){NULL, 0} : path;
}

struct slice http_query(h2o_req_t *req)
{
    struct slice rest = http_target(req);
    slice_split(&rest, '?');
    return rest;
}

bool http_form_next(h2o_req_t *req, struct slice literal, struct slice *rest, struct slice *name, struct slice *value, bool *broken)
{
    while (rest->p != NULL) {
        struct slice raw_value = slice_split(rest, '&');
        if (raw_value.n == 0)
            continue;
        struct slice raw_name = slice_split(&raw_value, '=');
        *name = decode(req, raw_name, true, broken);
        *value = decode(req, raw_value, literal.n == 0 || !slice_eq(*name, literal), broken);
        return true;
    }
    return false;
}

/* How closely a media range matches; the closest match decides (RFC 9110 section 12.5.1). */
enum match { MATCH_NONE, MATCH_ANY, MATCH_TYPE, MATCH_EXACT, MATCH_EXACT_WITH_CHARSET };

struct range {
    enum match match;
    int weight; /* thousandths */
};

static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.n; ++i) {
        char c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return s.n != 0;
}

/* As slice_split(), but a separator within a quoted string does not count. */
static struct slice split_unquoted(struct slice *rest, char sep)
{
    bool quoted = false;
    for (size_t i = 0; i < rest->n; ++i) {
        char c = rest->p[i];
        if (quoted && c == '\\') {
            ++i;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (c == sep && !quoted) {
            struct slice head = {rest->p, i};
            *rest = slice_from(*rest, i + 1);
            return head;
        }
    }
    struct slice head = *rest;
    *rest = (struct slice){NULL, 0};
    return head;
}

/* Thousandths, or -1. ".2" without its zero is let in: Java's HttpURLConnection sends it. */
static int parse_weight(struct slice s)
{
    int weight = 0, scale = 1000;
    bool whole = s.n != 0 && (s.p[0] == '0' || s.p[0] == '1');
    if (whole) {
        weight = (s.p[0] - '0') * scale;
        s = slice_from(s, 1);
        if (s.n == 0)
            return weight;
    }
    if (s.n == 0 || s.n > 4 || s.p[0] != '.' || (s.n == 1 && !whole))
        return -1;
    for (size_t i = 1; i < s.n; ++i) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -1;
        scale /= 10;
        weight += (s.p[i] - '0') * scale;
    }
    return weight <= 1000 ? weight : -1;
}

static enum match match_range(struct slice range_type, struct slice range_subtype, struct slice type, struct slice subtype)
{
    if (slice_eq_nocase(range_subtype, SLICE("*")))
        return slice_eq_nocase(range_type, SLICE("*")) ? MATCH_ANY : slice_eq_nocase(range_type, type) ? MATCH_TYPE : MATCH_NONE;
    return slice_eq_nocase(range_type, type) && slice_eq_nocase(range_subtype, subtype) ? MATCH_EXACT : MATCH_NONE;
}

/* All we send is UTF-8, so charset=utf-8 matches; a range that asks for any other parameter asks for something we don't have. */
static enum match narrow(enum match match, struct slice name, struct slice value)
{
    bool utf8 = slice_eq_nocase(value, SLICE("utf-8")) || slice_eq_nocase(value, SLICE("\"utf-8\""));
    if (!utf8 || !slice_eq_nocase(name, SLICE("charset")))
        return MATCH_NONE;
    return match == MATCH_EXACT ? MATCH_EXACT_WITH_CHARSET : match;
}

/* False when the range is malformed. What stands after the weight is an extension of older HTTP and without meaning. */
static bool parse_range(struct slice text, struct slice type, struct slice subtype, struct range *out)
{
    struct slice params = text;
    struct slice range_subtype = slice_trim(split_unquoted(&params, ';'));
    struct slice range_type = slice_split(&range_subtype, '/');
    if (!is_token(range_type) || !is_token(range_subtype))
        return false;
    if (slice_eq_nocase(range_type, SLICE("*")) && !slice_eq_nocase(range_subtype, SLICE("*")))
        return false;
    *out = (struct range){match_range(range_type, range_subtype, type, subtype), 1000};
    while (params.p != NULL) {
        struct slice value = slice_trim(split_unquoted(&params, ';'));
        if (value.n == 0)
            continue;
        struct slice name = slice_split(&value, '=');
        if (!is_token(name) || value.p == NULL)
            return false;
        if (slice_eq_nocase(name, SLICE("q")))
            return (out->weight = parse_weight(value)) >= 0;
        out->match = narrow(out->match, name, value);
    }
    return true;
}

bool http_accepts(struct slice accept, struct slice type, struct slice subtype)
{
    struct range best = {MATCH_NONE, 0};
    bool any_valid = false;
    while (accept.p != NULL) {
        struct range range;
        if (!parse_range(slice_trim(split_unquoted(&accept, ',')), type, subtype, &range))
            continue;
        any_valid = true;
        if (range.match == MATCH_NONE)
            continue;
        if (range.match > best.match || (range.match == best.match && range.weight > best.weight))
            best = range;
    }
    return !any_valid || best.weight > 0;
}
