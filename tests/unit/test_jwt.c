/* The golden tokens of jwt.json, which another library made (see jwt.mjs). */
#include "runtime/auth/jwt.h"

#include <openssl/err.h>

#include "tests/unit/vectors.h"

static yajl_val file;
static int64_t now_s;

static const char *text_of(yajl_val row, const char *name, const char *otherwise)
{
    yajl_val value = vector_get(row, name);
    return value == NULL ? otherwise : YAJL_GET_STRING(value);
}

static struct jwt_keys *load_keys(const char *name)
{
    const char *error;
    struct jwt_keys *keys = jwt_keys_parse(slice_of(text_of(vector_get(file, "keys"), name, "")), &error);
    if (keys == NULL)
        vector_die(name, error);
    return keys;
}

static void check_claims(const char *fact, yajl_val row, const struct jwt_claims *claims)
{
    yajl_val expires = vector_get(row, "expires"), subscribe = vector_get(row, "subscribe"), publish = vector_get(row, "publish");
    int64_t want_s = expires == NULL ? now_s + 600 : YAJL_GET_INTEGER(expires) == 0 ? INT64_MAX : YAJL_GET_INTEGER(expires);
    check(claims->expires_s == want_s, "%s: when it expires", fact);
    check((long long)claims->subscribe.count == (subscribe == NULL ? 2 : YAJL_GET_INTEGER(subscribe)), "%s: what it may read",
          fact);
    check((long long)claims->publish.count == (publish == NULL ? 1 : YAJL_GET_INTEGER(publish)), "%s: what it may publish", fact);
    if (subscribe != NULL)
        return;
    check_slice(claims->subject, SLICE("user 42"), "%s: sub", fact);
    check_slice(claims->subscribe.patterns[1], SLICE("user/42/*"), "%s: a pattern to read", fact);
    check_slice(claims->publish.patterns[0], SLICE("orders"), "%s: a pattern to publish", fact);
}

static void test_token(yajl_val row)
{
    const char *fact = text_of(row, "fact", "?"), *want = text_of(row, "want", NULL);
    struct jwt_keys *keys = load_keys(text_of(row, "key", ""));
    struct jwt_options options = {.issuer = text_of(row, "issuer", ""), .audience = text_of(row, "audience", "")};
    struct jwt_claims claims;
    const char *why = jwt_verify(&claims, keys, &options, slice_of(text_of(row, "token", "")), now_s);
    check_slice(slice_of(why == NULL ? "valid" : why), slice_of(want == NULL ? "valid" : want), "%s", fact);
    check(ERR_peek_error() == 0, "%s: nothing is left in OpenSSL's queue", fact);
    if (why == NULL && want == NULL)
        check_claims(fact, row, &claims);
    else
        check(claims.memory == NULL && claims.subscribe.count == 0 && claims.publish.count == 0, "%s: no claims", fact);
    if (why == NULL)
        jwt_claims_free(&claims);
    jwt_keys_free(keys);
}

/* A token of 8192 bytes is still looked at. */
static void test_size(void)
{
    static char token[JWT_MAX + 1];
    struct jwt_keys *keys = load_keys("secret");
    struct jwt_options options = {"", ""};
    struct jwt_claims claims;
    memset(token, 'A', sizeof(token));
    check_slice(slice_of(jwt_verify(&claims, keys, &options, slice_make(token, sizeof(token)), now_s)),
                SLICE("the token is longer than 8192 bytes"), "a token of 8193 bytes");
    check_slice(slice_of(jwt_verify(&claims, keys, &options, slice_make(token, JWT_MAX), now_s)), SLICE("the token is malformed"),
                "8192 bytes of nothing");
    jwt_keys_free(keys);
}

/* Whichever byte of a good token is another one, it is refused. The last character of a signature holds bits that mean nothing, so
 * it is left out. */
static void test_every_byte(void)
{
    yajl_val row = vector_rows(file, "tokens").values[0];
    struct slice good = slice_of(text_of(row, "token", ""));
    struct jwt_keys *keys = load_keys("secret");
    struct jwt_options options = {"", ""};
    struct jwt_claims claims;
    char token[2048];
    size_t passed = 0, i;
    memcpy(token, good.p, good.n);
    for (i = 0; i + 1 < good.n; ++i) {
        token[i] = (char)(good.p[i] == 'A' ? 'B' : 'A');
        passed += jwt_verify(&claims, keys, &options, slice_make(token, good.n), now_s) == NULL;
        token[i] = good.p[i];
    }
    check(passed == 0 && i > 100, "none of %zu tokens with one byte changed is valid", i);
    check(jwt_verify(&claims, keys, &options, slice_make(token, good.n), now_s) == NULL, "the unchanged one is");
    jwt_claims_free(&claims);
    jwt_keys_free(keys);
}

static void test_refused_keys(yajl_val row)
{
    const char *error = NULL, *fact = text_of(row, "fact", "?");
    struct jwt_keys *keys = jwt_keys_parse(slice_of(text_of(row, "text", "")), &error);
    check_slice(slice_of(keys == NULL ? error : "loaded"), slice_of(text_of(row, "want", "")), "%s", fact);
    jwt_keys_free(keys);
}

int main(void)
{
    file = vector_file("../../tests/unit/jwt.json");
    now_s = YAJL_GET_INTEGER(vector_get(file, "now"));
    struct vector_rows tokens = vector_rows(file, "tokens"), refused = vector_rows(file, "refused");
    for (size_t i = 0; i < tokens.len; ++i)
        test_token(tokens.values[i]);
    for (size_t i = 0; i < refused.len; ++i)
        test_refused_keys(refused.values[i]);
    test_size();
    test_every_byte();
    yajl_tree_free(file);
    return check_end();
}
