#include "runtime/auth/token_cache.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "tests/check.h"

enum { NOW_S = 1800000000, LATER_S = NOW_S + 1000000 };

static const struct slice secret = SLICE("a secret of at least thirty-two bytes");
static const struct jwt_options options = {"", ""};
static struct jwt_keys *keys;
static struct token_cache *cache;

struct token {
    size_t n;
    char p[JWT_MAX + 1];
};

static void add_base64url(struct token *token, const void *bytes, size_t n)
{
    char *to = token->p + token->n;
    size_t coded = (size_t)EVP_EncodeBlock((unsigned char *)to, bytes, (int)n);
    for (size_t i = 0; i < coded && to[i] != '='; ++i, ++token->n)
        to[i] = to[i] == '+' ? '-' : to[i] == '/' ? '_' : to[i];
}

static void sign(struct token *token, const char *claims)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n;
    token->n = 0;
    add_base64url(token, "{\"alg\":\"HS256\"}", 15);
    token->p[token->n++] = '.';
    add_base64url(token, claims, strlen(claims));
    HMAC(EVP_sha256(), secret.p, (int)secret.n, (unsigned char *)token->p, token->n, mac, &n);
    token->p[token->n++] = '.';
    add_base64url(token, mac, n);
}

/* The token of that number; all live till LATER_S. */
static void sign_number(struct token *token, unsigned number)
{
    char claims[100];
    snprintf(claims, sizeof(claims), "{\"sub\":\"%u\",\"exp\":%d,\"sse\":{\"subscribe\":[\"news\"]}}", number, LATER_S);
    sign(token, claims);
}

static const char *verify_at(const struct token *token, int64_t now_s)
{
    const struct jwt_claims *claims;
    return token_cache_verify(cache, &claims, slice_make(token->p, token->n), now_s);
}

static size_t entries(void)
{
    return token_cache_use(cache).entries;
}

/* Expired tokens leave, so this takes it out. */
static bool was_held(unsigned number)
{
    struct token token;
    size_t before = entries();
    sign_number(&token, number);
    verify_at(&token, LATER_S + JWT_LEEWAY_S);
    return entries() == before - 1;
}

static void restart(void)
{
    token_cache_free(cache);
    cache = token_cache_create(keys, &options);
}

static void check_sentence(const char *got, const char *want, const char *fact)
{
    check_slice(slice_of(got == NULL ? "valid" : got), slice_of(want), "%s", fact);
}

static void test_again(void)
{
    struct token token;
    const struct jwt_claims *first, *second;
    sign_number(&token, 42);
    check_sentence(token_cache_verify(cache, &first, slice_make(token.p, token.n), NOW_S), "valid", "a good token");
    check_sentence(token_cache_verify(cache, &second, slice_make(token.p, token.n), NOW_S), "valid", "the same again");
    check(first == second && entries() == 1, "is answered by what is held");
    check_slice(second->subject, SLICE("42"), "with its sub");
    check(second->expires_s == LATER_S, "with its exp");
    check(grants_allow(&second->subscribe, SLICE("news")) && !grants_allow(&second->subscribe, SLICE("new")), "with its grants");
    check(second->publish.count == 0, "and with no others");
}

/* The last character of a signature holds bits that mean nothing, so it is left out. */
static void test_every_byte(void)
{
    struct token token;
    size_t passed = 0, i;
    sign_number(&token, 42);
    verify_at(&token, NOW_S);
    for (i = 0; i + 1 < token.n; ++i) {
        char right = token.p[i];
        token.p[i] = (char)(right == 'A' ? 'B' : 'A');
        passed += verify_at(&token, NOW_S) == NULL;
        token.p[i] = right;
    }
    check(passed == 0 && i > 100, "none of %zu tokens that differ from a held one in one byte is valid", i);
    --token.n;
    check(verify_at(&token, NOW_S) != NULL, "nor is its beginning");
    check(entries() == 1, "and none of them is held");
}

static void test_refused(void)
{
    struct token token = {.n = sizeof(token.p)};
    memset(token.p, 'A', sizeof(token.p));
    check_sentence(verify_at(&token, NOW_S), "the token is longer than 8192 bytes", "a token of 8193 bytes");
    sign(&token, "{\"exp\":1799999990}");
    check_sentence(verify_at(&token, NOW_S), "the token has expired", "one that has expired");
    sign(&token, "{\"nbf\":1800000011}");
    check_sentence(verify_at(&token, NOW_S), "the token is not valid yet", "one that is not valid yet");
    check_sentence(verify_at(&token, NOW_S + 1), "valid", "which a second later is");
    restart();
    for (unsigned i = 0; i < 20000; ++i) {
        token.n = (size_t)snprintf(token.p, sizeof(token.p), "eyJhbGciOiJIUzI1NiJ9.e30.%u", 10000 + i);
        verify_at(&token, NOW_S);
    }
    check(entries() == 0 && token_cache_use(cache).bytes == 0, "20,000 tokens with wrong signatures leave nothing behind");
}

static void test_times(void)
{
    struct token token;
    sign(&token, "{\"exp\":1800000100}");
    check_sentence(verify_at(&token, NOW_S), "valid", "a token of 100 s");
    check_sentence(verify_at(&token, NOW_S + 109), "valid", "held, in its last second");
    check(entries() == 1, "was held up to then");
    check_sentence(verify_at(&token, NOW_S + 110), "the token has expired", "held, when it is over");
    check(entries() == 0, "it leaves");
    sign(&token, "{\"nbf\":1800000000}");
    check_sentence(verify_at(&token, NOW_S), "valid", "a token from now on");
    check_sentence(verify_at(&token, NOW_S - 10), "valid", "held, and the clock set back 10 s");
    check_sentence(verify_at(&token, NOW_S - 11), "the token is not valid yet", "held, and the clock set back 11 s");
    check_sentence(verify_at(&token, NOW_S), "valid", "and once it is right again");
}

static void test_other_keys(void)
{
    const char *error;
    struct token token;
    sign_number(&token, 1);
    check_sentence(verify_at(&token, NOW_S), "valid", "a token under the first key");
    struct jwt_keys *others = jwt_keys_parse(SLICE("another secret of at least thirty-two bytes"), &error);
    token_cache_free(cache);
    cache = token_cache_create(others, &options);
    check_sentence(verify_at(&token, NOW_S), "the signature of the token is wrong", "in the cache of another key");
    restart();
    jwt_keys_free(others);
    check(entries() == 0, "a new cache holds nothing");
}

static void test_most_entries(void)
{
    enum { EXTRA = 100 };
    struct token token;
    size_t valid = 0;
    for (unsigned i = 0; i < TOKEN_CACHE_ENTRIES + EXTRA; ++i) {
        sign_number(&token, i);
        valid += verify_at(&token, NOW_S) == NULL;
        sign_number(&token, 0);
        if (i + 1 == TOKEN_CACHE_ENTRIES) /* it is full now */
            verify_at(&token, NOW_S);
    }
    check(valid == TOKEN_CACHE_ENTRIES + EXTRA, "more different tokens than it holds are all valid");
    check(entries() == TOKEN_CACHE_ENTRIES && token_cache_use(cache).bytes < TOKEN_CACHE_BYTES, "it holds %d of them",
          TOKEN_CACHE_ENTRIES);
    check(!was_held(1) && !was_held(EXTRA), "the longest unused are gone");
    check(was_held(EXTRA + 1) && was_held(TOKEN_CACHE_ENTRIES + EXTRA - 1), "later ones are not");
    check(was_held(0), "nor is the first, which was used again");
}

/* All of them were used: that saves none of them, and costs the new one nothing. */
static void test_all_used(void)
{
    struct token token;
    size_t valid = 0;
    for (unsigned i = 0; i < 2 * TOKEN_CACHE_ENTRIES; ++i) {
        sign_number(&token, i % TOKEN_CACHE_ENTRIES);
        valid += verify_at(&token, NOW_S) == NULL;
    }
    check(valid == 2 * TOKEN_CACHE_ENTRIES && entries() == TOKEN_CACHE_ENTRIES, "each of a full cache is used again");
    sign_number(&token, TOKEN_CACHE_ENTRIES);
    const struct jwt_claims *claims;
    check_sentence(token_cache_verify(cache, &claims, slice_make(token.p, token.n), NOW_S), "valid", "one more");
    check_slice(claims->subject, SLICE("16384"), "with its own sub");
    check(entries() == TOKEN_CACHE_ENTRIES && !was_held(0) && was_held(TOKEN_CACHE_ENTRIES), "is held in the place of the oldest");
}

static void test_most_bytes(void)
{
    enum { TOKENS = 3000 };
    static char claims[6000];
    struct token token;
    size_t valid = 0, most = 0;
    for (unsigned i = 0; i < TOKENS; ++i) {
        int n = snprintf(claims, sizeof(claims), "{\"sub\":\"%u\",\"sse\":{\"subscribe\":[\"a\"", i);
        for (unsigned j = 1; j < 100; ++j)
            n += snprintf(claims + n, sizeof(claims) - (size_t)n, ",\"%050u\"", j);
        snprintf(claims + n, sizeof(claims) - (size_t)n, "]}}");
        sign(&token, claims);
        valid += verify_at(&token, NOW_S) == NULL;
        struct token_cache_use use = token_cache_use(cache);
        most = use.bytes > most ? use.bytes : most;
    }
    check(valid == TOKENS, "%d tokens of %zu bytes are valid", TOKENS, token.n);
    check(most <= TOKEN_CACHE_BYTES && most > TOKEN_CACHE_BYTES - 10000, "it never held more than %d bytes: %zu", TOKEN_CACHE_BYTES,
          most);
    check(entries() > 1000 && entries() < TOKENS, "%zu of them", entries());
}

int main(void)
{
    static void (*const tests[])(void) = {test_again,      test_every_byte,   test_refused,  test_times,
                                          test_other_keys, test_most_entries, test_all_used, test_most_bytes};
    const char *error;
    keys = jwt_keys_parse(secret, &error);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); ++i) {
        restart();
        tests[i]();
    }
    token_cache_free(cache);
    jwt_keys_free(keys);
    return check_end();
}
