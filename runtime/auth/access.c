#include "runtime/auth/access.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "runtime/auth/bearer.h"
#include "runtime/auth/token_cache.h"
#include "runtime/http.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/monotonic.h"
#include "runtime/net/cors.h"

/* What all threads have of one generation. Immutable. */
struct files {
    _Atomic unsigned refs;
    struct jwt_keys *keys;
    struct policy *policy;
    struct jwt_options jwt;
    struct bearer_options bearer;
    const char *origins;
};

/* A stream that ends at once would be opened again with the same token, and again, until the leeway of JWT_LEEWAY_S is over. */
enum { STREAM_LIFE_MIN_MS = 2000 };

struct access {
    struct files *files;
    struct token_cache *tokens;
};

/* ---- settings ---- */

const char *access_check_key_file(const char *value)
{
    static char sentence[600];
    const char *why;
    struct jwt_keys *keys = jwt_keys_load(value, &why);
    if (keys == NULL)
        snprintf(sentence, sizeof(sentence), "%.300s: %s", value, why);
    jwt_keys_free(keys);
    return keys == NULL ? sentence : NULL;
}

const char *access_check_policy_file(const char *value)
{
    static char sentence[600];
    const char *why;
    struct policy *policy = policy_load(value, &why);
    if (policy == NULL)
        snprintf(sentence, sizeof(sentence), "%.300s: %s", value, why);
    policy_free(policy);
    return policy == NULL ? sentence : NULL;
}

/* A token of RFC 6265 section 4.1.1. */
const char *access_check_cookie(const char *value)
{
    for (const char *p = value; *p != '\0'; ++p)
        if (*p <= ' ' || *p >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", *p) != NULL)
            return "a cookie's name must not contain a space or any of ()<>@,;:\\\"/[]?={}";
    return NULL;
}

/* Without a key a setting of tokens would do nothing. */
static const char *check_keyless(const struct access_options *options)
{
    return options->policy_file[0] != '\0' ? "POLICY_FILE: needs JWT_KEY_FILE"
           : options->issuer[0] != '\0'    ? "JWT_ISSUER: needs JWT_KEY_FILE"
           : options->audience[0] != '\0'  ? "JWT_AUDIENCE: needs JWT_KEY_FILE"
           : options->cookie[0] != '\0'    ? "JWT_COOKIE: needs JWT_KEY_FILE"
           : options->query                ? "JWT_QUERY: needs JWT_KEY_FILE"
                                           : NULL;
}

static const char *load(struct files *files, const struct access_options *options)
{
    static char sentence[600];
    const char *why = NULL, *setting = "JWT_KEY_FILE", *path = options->key_file;
    files->keys = jwt_keys_load(path, &why);
    if (files->keys != NULL && options->policy_file[0] == '\0') {
        files->policy = policy_default(options->demo);
    } else if (files->keys != NULL) {
        setting = "POLICY_FILE", path = options->policy_file;
        files->policy = policy_load(path, &why);
    }
    if (files->policy != NULL)
        return NULL;
    snprintf(sentence, sizeof(sentence), "%s: %.300s: %s", setting, path, why);
    return sentence;
}

static void unref(struct files *files)
{
    if (atomic_fetch_sub_explicit(&files->refs, 1, memory_order_acq_rel) != 1)
        return;
    jwt_keys_free(files->keys);
    policy_free(files->policy);
    free(files);
}

/* Takes the reference. */
static struct access *create(struct files *files)
{
    struct access *access = h2o_mem_alloc(sizeof(*access));
    *access = (struct access){files, token_cache_create(files->keys, &files->jwt)};
    return access;
}

struct access *access_load(const struct access_options *options, const char *origins, const char **error)
{
    if (options->key_file[0] == '\0') {
        *error = check_keyless(options);
        return NULL;
    }
    struct files *files = h2o_mem_alloc(sizeof(*files));
    *files = (struct files){.refs = 1,
                            .jwt = {.issuer = options->issuer, .audience = options->audience},
                            .bearer = {.cookie = options->cookie, .query = options->query},
                            .origins = origins};
    if ((*error = load(files, options)) == NULL)
        return create(files);
    unref(files);
    return NULL;
}

void access_warn_open(void)
{
    log_warn("everything is open: anyone who reaches the public port may read and publish on every channel",
             log_str("setting", "JWT_KEY_FILE"));
}

struct access *access_share(const struct access *access)
{
    if (access == NULL)
        return NULL;
    atomic_fetch_add_explicit(&access->files->refs, 1, memory_order_relaxed);
    return create(access->files);
}

void access_free(struct access *access)
{
    if (access == NULL)
        return;
    token_cache_free(access->tokens);
    unref(access->files);
    free(access);
}

/* ---- a request ---- */

static size_t first_row;

void access_count_at(size_t first)
{
    first_row = first;
}

void access_count(enum access_refusal refusal)
{
    metric_add(first_row + refusal, 1);
}

/* RFC 6750 section 3. The sentences are static and free of quotes and backslashes. */
static const char *refuse(h2o_req_t *req, struct access_pass *pass, enum access_refusal refusal, const char *sentence)
{
    static const struct {
        int status;
        const char *code;
    } answers[] = {
        [ACCESS_BAD_REQUEST] = {400, "invalid_request"}, [ACCESS_NO_TOKEN] = {401, NULL},
        [ACCESS_BAD_TOKEN] = {401, "invalid_token"},     [ACCESS_NOT_GRANTED] = {403, "insufficient_scope"},
        [ACCESS_FOREIGN_ORIGIN] = {403, NULL},
    };
    char challenge[300] = "Bearer realm=\"sse\"";
    *pass = (struct access_pass){.status = answers[refusal].status};
    access_count(refusal);
    if (answers[refusal].code != NULL)
        snprintf(challenge, sizeof(challenge), "Bearer realm=\"sse\", error=\"%s\", error_description=\"%s\"",
                 answers[refusal].code, sentence);
    if (refusal != ACCESS_FOREIGN_ORIGIN)
        http_add_header(req, "www-authenticate", slice_of(challenge));
    return sentence;
}

/* Whether a page that may write here sent this; a browser adds the cookie to the requests of any page. One of the listed origins,
 * or by the browser's own word our page, or, of a browser that doesn't say, a page of our host. */
static bool from_own_page(const struct files *files, h2o_req_t *req)
{
    struct slice site = http_header(req, "sec-fetch-site");
    enum cors_verdict verdict = cors_judge(files->origins, http_header(req, "origin"), slice_of_iovec(req->input.authority));
    if (verdict == CORS_LISTED)
        return true;
    if (site.p != NULL)
        return slice_eq(site, SLICE("same-origin"));
    return verdict == CORS_NONE && http_header(req, "origin").p != NULL;
}

/* Whether the page that opens a stream may, likewise. A request of no page (a script's, an old browser's for its own host) names none. */
static bool may_open_from(const struct files *files, h2o_req_t *req)
{
    struct slice site = http_header(req, "sec-fetch-site");
    if (site.p == NULL && http_header(req, "origin").p == NULL)
        return true;
    return slice_eq(site, SLICE("none")) || from_own_page(files, req);
}

static uint64_t life_ms(int64_t expires_s, int64_t now_ms)
{
    if (expires_s == INT64_MAX)
        return 0;
    return expires_s * 1000 > now_ms ? (uint64_t)(expires_s * 1000 - now_ms) : 1;
}

/* What a request wants. */
struct wish {
    enum access_action action;
    const struct slice *channels;
    size_t count;
    bool *granted; /* NULL: all of it or nothing */
};

/* By the policy, or by a token's grants; NULL: there is none. False where a channel is not allowed. */
static bool all_allowed(const struct policy *policy, const struct grants *grants, const struct wish *wish)
{
    bool all = true;
    for (size_t i = 0; i < wish->count && (all || wish->granted != NULL); ++i) {
        struct slice channel = wish->channels[i];
        bool allowed = policy_open(policy, wish->action, channel) || (grants != NULL && grants_allow(grants, channel));
        if (wish->granted != NULL)
            wish->granted[i] = allowed;
        all = all && allowed;
    }
    return all;
}

static const char *check_token(const struct access *access, h2o_req_t *req, struct slice token, const struct wish *wish,
                               struct access_pass *pass)
{
    const struct jwt_claims *claims;
    int64_t now_ms = (int64_t)clock_us(CLOCK_REALTIME) / 1000;
    const char *why = token_cache_verify(access->tokens, &claims, token, now_ms / 1000);
    if (why != NULL)
        return refuse(req, pass, ACCESS_BAD_TOKEN, why);
    const struct grants *grants = wish->action == ACCESS_SUBSCRIBE ? &claims->subscribe : &claims->publish;
    bool all = all_allowed(access->files->policy, grants, wish);
    if (!all && wish->granted == NULL)
        return refuse(req, pass, ACCESS_NOT_GRANTED, ACCESS_NOT_GRANTED_SENTENCE);
    if (!all)
        access_count(ACCESS_NOT_GRANTED);
    pass->life_ms = life_ms(claims->expires_s, now_ms);
    if (wish->action == ACCESS_SUBSCRIBE && pass->life_ms != 0 && pass->life_ms < STREAM_LIFE_MIN_MS)
        return refuse(req, pass, ACCESS_BAD_TOKEN, "the token expires within two seconds, too soon for a stream: get a new one");
    pass->key = claims->key;
    if (claims->subject.p != NULL)
        pass->subject = slice_of_iovec(h2o_strdup(&req->pool, claims->subject.p, claims->subject.n));
    return NULL;
}

static const char *check(const struct access *access, h2o_req_t *req, const struct wish *wish, struct access_pass *pass)
{
    enum access_action action = wish->action;
    *pass = (struct access_pass){.status = 0};
    if (access == NULL || all_allowed(access->files->policy, NULL, wish))
        return NULL;
    struct bearer bearer;
    const char *why = bearer_find(&bearer, req, &access->files->bearer);
    if (why != NULL)
        return refuse(req, pass, ACCESS_BAD_REQUEST, why);
    if (bearer.token.p == NULL)
        return refuse(req, pass, ACCESS_NO_TOKEN, "a token is required: Authorization: Bearer TOKEN");
    if (bearer.by_cookie && action == ACCESS_PUBLISH && !from_own_page(access->files, req))
        return refuse(req, pass, ACCESS_FOREIGN_ORIGIN,
                      "a token in a cookie publishes only for pages of this host or of CORS_ORIGINS");
    if (bearer.by_cookie && action == ACCESS_SUBSCRIBE && !may_open_from(access->files, req))
        return refuse(req, pass, ACCESS_FOREIGN_ORIGIN,
                      "a token in a cookie opens streams only for pages of this host or of CORS_ORIGINS");
    return check_token(access, req, bearer.token, wish, pass);
}

const char *access_check(const struct access *access, h2o_req_t *req, enum access_action action, const struct slice *channels,
                         size_t count, struct access_pass *pass)
{
    return check(access, req, &(struct wish){action, channels, count, NULL}, pass);
}

const char *access_check_each(const struct access *access, h2o_req_t *req, enum access_action action, const struct slice *channels,
                              size_t count, bool *granted, struct access_pass *pass)
{
    for (size_t i = 0; i != count; ++i)
        granted[i] = true;
    return check(access, req, &(struct wish){action, channels, count, granted}, pass);
}

bool access_knows(const struct access *access, uint32_t key)
{
    return jwt_keys_hold(access->files->keys, key);
}

bool access_open(const struct access *access, enum access_action action, struct slice channel)
{
    return policy_open(access->files->policy, action, channel);
}
