#include "runtime/auth/jwt.h"

#include <cjose/jws.h>
#include <jansson.h>
#include <openssl/err.h>
#include <stdlib.h>

#define MALFORMED "the token is malformed"

/* Three parts of base64url without padding, none of them empty: so that nothing else reaches the decoder. */
static bool looks_like_jws(struct slice token)
{
    size_t dots = 0, length = 0;
    for (size_t i = 0; i < token.n; ++i) {
        char c = token.p[i];
        if (c == '.' && (length == 0 || ++dots == 3))
            return false;
        length = c == '.' ? 0 : length + 1;
        bool alnum = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!alnum && c != '-' && c != '_' && c != '.')
            return false;
    }
    return dots == 2 && length != 0;
}

/* The key that the head of the token asks for; without jwk and *why. */
static struct jwt_key choose_key(const struct jwt_keys *keys, cjose_jws_t *jws, const char **why)
{
    const json_t *head = cjose_jws_get_protected(jws);
    const json_t *algorithm = json_object_get(head, "alg"), *kid = json_object_get(head, "kid");
    if (!json_is_string(algorithm) || (kid != NULL && !json_is_string(kid))) {
        *why = MALFORMED;
        return (struct jwt_key){NULL, 0};
    }
    if (json_object_get(head, "crit") != NULL) {
        *why = "the token requires an extension that is not supported";
        return (struct jwt_key){NULL, 0};
    }
    struct jwt_key key = jwt_keys_find(keys, json_string_value(algorithm), json_string_value(kid));
    if (key.jwk == NULL)
        *why = "no key matches the algorithm and key id of the token";
    return key;
}

/* NULL, *json, the claims as they stand, and *print of the key. */
static const char *open_token(json_t **json, uint32_t *print, const struct jwt_keys *keys, struct slice token)
{
    const char *why = NULL;
    uint8_t *text;
    size_t n;
    cjose_jws_t *jws = cjose_jws_import(token.p, token.n, NULL);
    if (jws == NULL)
        return MALFORMED;
    struct jwt_key key = choose_key(keys, jws, &why);
    *print = key.print;
    if (key.jwk != NULL && !cjose_jws_verify(jws, key.jwk, NULL))
        why = "the signature of the token is wrong";
    if (why == NULL) {
        bool got = cjose_jws_get_plaintext(jws, &text, &n, NULL);
        *json = got ? json_loadb((const char *)text, n, JSON_REJECT_DUPLICATES, NULL) : NULL;
        if (!json_is_object(*json))
            why = "the claims of the token are not a JSON object";
    }
    cjose_jws_release(jws);
    return why;
}

/* A NumericDate (RFC 7519 section 2), far ones brought nearer; `otherwise` where there is none. False when it is no number. */
static bool read_time(const json_t *value, int64_t otherwise, int64_t *out)
{
    const double far = 1e15;
    if (value != NULL && !json_is_number(value))
        return false;
    double seconds = json_number_value(value);
    *out = value == NULL ? otherwise : (int64_t)(seconds > far ? far : seconds < -far ? -far : seconds);
    return true;
}

const char *jwt_check_times(const struct jwt_claims *claims, int64_t now_s)
{
    if (now_s - JWT_LEEWAY_S >= claims->expires_s)
        return "the token has expired";
    if (now_s + JWT_LEEWAY_S < claims->from_s)
        return "the token is not valid yet";
    return NULL;
}

static const char *check_parties(const json_t *json, const struct jwt_options *options)
{
    const json_t *subject = json_object_get(json, "sub"), *audience = json_object_get(json, "aud");
    if (options->issuer[0] != '\0' && !jwt_is_text(json_object_get(json, "iss"), options->issuer))
        return "the token is not from the trusted issuer";
    if (options->audience[0] != '\0' && !jwt_is_text(audience, options->audience) && !jwt_lists(audience, options->audience))
        return "the token is for another audience";
    return subject == NULL || json_is_string(subject) ? NULL : "the sub of the token is not a string";
}

/* Of patterns, at most GRANTS_MAX; NULL is none. */
static bool is_list(const json_t *list)
{
    if (list != NULL && (!json_is_array(list) || json_array_size(list) > GRANTS_MAX))
        return false;
    for (size_t i = 0; i < json_array_size(list); ++i) {
        size_t n = json_string_length(json_array_get(list, i));
        if (n == 0 || n > PATTERN_MAX)
            return false;
    }
    return true;
}

static const char *check_grants(const json_t *sse)
{
    if (sse != NULL && !json_is_object(sse))
        return "the sse claim of the token is not an object";
    if (!is_list(json_object_get(sse, "subscribe")) || !is_list(json_object_get(sse, "publish")))
        return "the sse claim of the token must hold lists of at most 100 channel patterns";
    return NULL;
}

static size_t list_size(const json_t *list)
{
    size_t size = json_array_size(list) * sizeof(struct slice);
    for (size_t i = 0; i < json_array_size(list); ++i)
        size += json_string_length(json_array_get(list, i));
    return size;
}

/* Where the next pattern and the next text go. */
struct packer {
    struct slice *pattern;
    char *text;
};

static struct slice pack_text(struct packer *packer, const json_t *string)
{
    size_t n = json_string_length(string);
    struct slice packed = slice_make(memcpy(packer->text, json_string_value(string), n), n);
    packer->text += n;
    return packed;
}

static struct grants pack_list(struct packer *packer, const json_t *list)
{
    struct grants grants = {.count = json_array_size(list), .patterns = packer->pattern};
    for (size_t i = 0; i < grants.count; ++i)
        *packer->pattern++ = pack_text(packer, json_array_get(list, i));
    return grants;
}

/* One block of memory with what is needed of the JSON, which was checked: it may be kept for long. */
static void pack(struct jwt_claims *claims, const json_t *json)
{
    const json_t *sse = json_object_get(json, "sse"), *subject = json_object_get(json, "sub");
    const json_t *subscribe = json_object_get(sse, "subscribe"), *publish = json_object_get(sse, "publish");
    claims->size = list_size(subscribe) + list_size(publish) + json_string_length(subject) + 1;
    if ((claims->memory = malloc(claims->size)) == NULL)
        abort();
    struct packer packer = {.pattern = claims->memory};
    packer.text = (char *)(packer.pattern + json_array_size(subscribe) + json_array_size(publish));
    claims->subscribe = pack_list(&packer, subscribe);
    claims->publish = pack_list(&packer, publish);
    if (subject != NULL)
        claims->subject = pack_text(&packer, subject);
}

static const char *read_claims(struct jwt_claims *claims, const json_t *json, const struct jwt_options *options, int64_t now_s)
{
    if (!read_time(json_object_get(json, "exp"), INT64_MAX, &claims->expires_s) ||
        !read_time(json_object_get(json, "nbf"), INT64_MIN, &claims->from_s))
        return "the exp or nbf of the token is not a number";
    const char *why = jwt_check_times(claims, now_s);
    if (why == NULL)
        why = check_parties(json, options);
    if (why == NULL)
        why = check_grants(json_object_get(json, "sse"));
    if (why == NULL)
        pack(claims, json);
    return why;
}

const char *jwt_verify(struct jwt_claims *claims, const struct jwt_keys *keys, const struct jwt_options *options,
                       struct slice token, int64_t now_s)
{
    json_t *json = NULL;
    *claims = (struct jwt_claims){.memory = NULL};
    if (token.n > JWT_MAX)
        return JWT_TOO_LONG;
    if (!looks_like_jws(token))
        return MALFORMED;
    const char *why = open_token(&json, &claims->key, keys, token);
    /* what OpenSSL left in this thread's queue would look like a fault of the next TLS connection */
    ERR_clear_error();
    if (why == NULL)
        why = read_claims(claims, json, options, now_s);
    json_decref(json);
    if (why != NULL)
        jwt_claims_free(claims);
    return why;
}

void jwt_claims_free(struct jwt_claims *claims)
{
    free(claims->memory);
    *claims = (struct jwt_claims){.memory = NULL};
}
