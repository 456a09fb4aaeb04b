#include "runtime/access.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "runtime/bearer.h"
#include "runtime/cors.h"
#include "runtime/http.h"
#include "runtime/jwt.h"

struct access {
    _Atomic unsigned refs;
    struct jwt_keys *keys;
    struct policy *policy;
    struct jwt_options jwt;
    struct bearer_options bearer;
    const char *origins;
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
            return "a cookie's name has no space and none of ()<>@,;:\\\"/[]?={}";
    return NULL;
}

/* A setting that would do nothing without a key. */
static const char *useless(const struct access_options *options)
{
    return options->policy_file[0] != '\0' ? "POLICY_FILE"
           : options->issuer[0] != '\0'    ? "JWT_ISSUER"
           : options->audience[0] != '\0'  ? "JWT_AUDIENCE"
           : options->cookie[0] != '\0'    ? "JWT_COOKIE"
           : options->query                ? "JWT_QUERY"
                                           : NULL;
}

static const char *load(struct access *access, const struct access_options *options)
{
    static char sentence[600];
    const char *why = NULL, *setting = "JWT_KEY_FILE", *path = options->key_file;
    access->keys = jwt_keys_load(path, &why);
    if (access->keys != NULL && options->policy_file[0] == '\0') {
        access->policy = policy_default();
    } else if (access->keys != NULL) {
        setting = "POLICY_FILE", path = options->policy_file;
        access->policy = policy_load(path, &why);
    }
    if (access->policy != NULL)
        return NULL;
    snprintf(sentence, sizeof(sentence), "%s: %.300s: %s", setting, path, why);
    return sentence;
}

struct access *access_load(const struct access_options *options, const char *origins, const char **error)
{
    static char sentence[100];
    *error = NULL;
    if (options->key_file[0] == '\0') {
        const char *setting = useless(options);
        if (setting != NULL) {
            snprintf(sentence, sizeof(sentence), "%s: needs JWT_KEY_FILE", setting);
            *error = sentence;
        }
        return NULL;
    }
    struct access *access = h2o_mem_alloc(sizeof(*access));
    *access = (struct access){.refs = 1,
                              .jwt = {.issuer = options->issuer, .audience = options->audience},
                              .bearer = {.cookie = options->cookie, .query = options->query},
                              .origins = origins};
    if ((*error = load(access, options)) == NULL)
        return access;
    access_unref(access);
    return NULL;
}

struct access *access_ref(struct access *access)
{
    if (access != NULL)
        atomic_fetch_add_explicit(&access->refs, 1, memory_order_relaxed);
    return access;
}

void access_unref(struct access *access)
{
    if (access == NULL || atomic_fetch_sub_explicit(&access->refs, 1, memory_order_acq_rel) != 1)
        return;
    jwt_keys_free(access->keys);
    policy_free(access->policy);
    free(access);
}

/* ---- a request ---- */

/* RFC 6750 section 3. The sentences are static and free of quotes and backslashes. */
static const char *refuse(h2o_req_t *req, struct access_pass *pass, enum access_outcome outcome, const char *sentence)
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
    *pass = (struct access_pass){.outcome = outcome, .status = answers[outcome].status};
    if (answers[outcome].code != NULL)
        snprintf(challenge, sizeof(challenge), "Bearer realm=\"sse\", error=\"%s\", error_description=\"%s\"",
                 answers[outcome].code, sentence);
    if (outcome != ACCESS_FOREIGN_ORIGIN)
        http_add_header(req, "www-authenticate", slice_of(challenge));
    return sentence;
}

/* Whether a page that may write here sent this; a browser adds the cookie to the requests of any page. One of the listed origins,
 * or by the browser's own word our page, or, of a browser that doesn't say, a page of our host. */
static bool from_own_page(const struct access *access, h2o_req_t *req)
{
    struct slice site = http_header(req, "sec-fetch-site");
    enum cors_verdict verdict = cors_judge(access->origins, http_header(req, "origin"), slice_of_iovec(req->input.authority));
    if (verdict == CORS_LISTED)
        return true;
    if (site.p != NULL)
        return slice_eq(site, SLICE("same-origin"));
    return verdict == CORS_NONE && http_header(req, "origin").p != NULL;
}

static uint64_t life_ms(int64_t expires_s, const struct timespec *now)
{
    int64_t now_ms = (int64_t)now->tv_sec * 1000 + now->tv_nsec / 1000000;
    if (expires_s == INT64_MAX)
        return 0;
    return expires_s * 1000 > now_ms ? (uint64_t)(expires_s * 1000 - now_ms) : 1;
}

static bool all_granted(const struct access *access, const struct jwt_claims *claims, enum access_action action,
                        const struct slice *channels, size_t count)
{
    const struct grants *grants = action == ACCESS_SUBSCRIBE ? &claims->subscribe : &claims->publish;
    for (size_t i = 0; i < count; ++i)
        if (!policy_open(access->policy, action, channels[i]) && !grants_allow(grants, channels[i]))
            return false;
    return true;
}

static const char *check_token(const struct access *access, h2o_req_t *req, struct slice token, enum access_action action,
                               const struct slice *channels, size_t count, struct access_pass *pass)
{
    struct jwt_claims claims;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const char *why = jwt_verify(&claims, access->keys, &access->jwt, token, now.tv_sec);
    if (why != NULL)
        return refuse(req, pass, ACCESS_BAD_TOKEN, why);
    if (!all_granted(access, &claims, action, channels, count))
        why = refuse(req, pass, ACCESS_NOT_GRANTED, "the token does not grant this");
    else
        pass->life_ms = life_ms(claims.expires_s, &now);
    if (why == NULL && claims.subject.p != NULL)
        pass->subject = slice_of_iovec(h2o_strdup(&req->pool, claims.subject.p, claims.subject.n));
    jwt_claims_free(&claims);
    return why;
}

static bool all_open(const struct access *access, enum access_action action, const struct slice *channels, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        if (!policy_open(access->policy, action, channels[i]))
            return false;
    return true;
}

const char *access_check(const struct access *access, h2o_req_t *req, enum access_action action, const struct slice *channels,
                         size_t count, struct access_pass *pass)
{
    *pass = (struct access_pass){.outcome = ACCESS_GRANTED};
    if (access == NULL || all_open(access, action, channels, count))
        return NULL;
    struct bearer bearer;
    const char *why = bearer_find(&bearer, req, &access->bearer);
    if (why != NULL)
        return refuse(req, pass, ACCESS_BAD_REQUEST, why);
    if (bearer.token.p == NULL)
        return refuse(req, pass, ACCESS_NO_TOKEN, "this needs a token: Authorization: Bearer TOKEN");
    if (bearer.by_cookie && action == ACCESS_PUBLISH && !from_own_page(access, req))
        return refuse(req, pass, ACCESS_FOREIGN_ORIGIN,
                      "a token in a cookie publishes only for pages of this host or of CORS_ORIGINS");
    return check_token(access, req, bearer.token, action, channels, count, pass);
}
