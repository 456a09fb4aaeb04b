/* Input: flags (1: one bit of the signature is turned, 2: the token is the third field as it stands, 4: issuer and audience are wanted), then the fields head
 * and claims, which are signed here with the key of the server.
 * No token is valid that was not signed with the key; what a valid one says is a JSON object and within the limits, it is valid up to its
 * "exp" and not after, and its head names an algorithm of the key. */
#include "runtime/auth/jwt.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "tests/fuzz/json.h"

enum { NOW_S = 1800000000 };

static const struct slice secret = {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 64};
static const struct jwt_keys *keys;

static void add_base64url(struct text *out, struct slice bytes)
{
    size_t room = bytes.n / 3 * 4 + 5;
    char *coded = malloc(room);
    must(coded != NULL);
    int n = EVP_EncodeBlock((unsigned char *)coded, (const unsigned char *)bytes.p, (int)bytes.n);
    for (int i = 0; i != n && coded[i] != '='; ++i)
        text_add_byte(out, coded[i] == '+' ? '-' : coded[i] == '/' ? '_' : coded[i]);
    free(coded);
}

static bool mentions(struct slice head, const char *word)
{
    return memmem(head.p, head.n, word, strlen(word)) != NULL;
}

static void sign(struct text *token, struct slice head, struct slice claims, bool spoil)
{
    const EVP_MD *hash = mentions(head, "HS512") ? EVP_sha512() : mentions(head, "HS384") ? EVP_sha384() : EVP_sha256();
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n;
    add_base64url(token, head);
    text_add(token, SLICE("."));
    add_base64url(token, claims);
    must(HMAC(hash, secret.p, (int)secret.n, (const unsigned char *)text_slice(token).p, token->n, mac, &n) != NULL);
    mac[claims.n % n] ^= (unsigned char)(spoil << claims.n % 8);
    text_add(token, SLICE("."));
    add_base64url(token, slice_make((const char *)mac, n));
}

static void check_grants(const struct grants *grants)
{
    must(grants->count <= GRANTS_MAX);
    for (size_t i = 0; i != grants->count; ++i)
        must(grants->patterns[i].n >= 1 && grants->patterns[i].n <= PATTERN_MAX);
}

static const char *verify(struct jwt_claims *claims, int flags, struct slice token, int64_t now_s)
{
    struct jwt_options options = {.issuer = (flags & 4) != 0 ? "me" : "", .audience = (flags & 4) != 0 ? "you" : ""};
    return jwt_verify(claims, keys, &options, token, now_s);
}

static void check_expiry(int flags, struct slice token, int64_t expires_s)
{
    struct jwt_claims claims;
    if (expires_s == INT64_MAX)
        return;
    must(expires_s > NOW_S - JWT_LEEWAY_S);
    must(verify(&claims, flags, token, expires_s + JWT_LEEWAY_S) != NULL && claims.memory == NULL);
    must(verify(&claims, flags, token, expires_s + JWT_LEEWAY_S - 1) == NULL);
    jwt_claims_free(&claims);
}

static void check_valid(const struct jwt_claims *claims, struct slice head, struct slice text)
{
    struct json_value value;
    must(mentions(head, "HS256") || mentions(head, "HS384") || mentions(head, "HS512") || mentions(head, "\\u"));
    /* libjansson lets a NUL between tokens pass; it was the issuer who signed it */
    must((json_read(&value, text, 3000) && value.is_object) || memchr(text.p, 0, text.n) != NULL);
    check_grants(&claims->subscribe);
    check_grants(&claims->publish);
    must(claims->subject.p == NULL || mentions(text, "sub") || mentions(text, "\\u"));
    text_free(&value.normal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice rest = slice_make((const char *)data + 1, size - 1), head = next_field(&rest), text = next_field(&rest);
    int flags = data[0];
    const char *error = NULL;
    struct text token = {NULL, 0, 0};
    struct jwt_claims claims;
    if (keys == NULL)
        keys = jwt_keys_parse(secret, &error);
    must(keys != NULL);
    if ((flags & 2) != 0)
        text_add(&token, next_field(&rest));
    else
        sign(&token, head, text, (flags & 1) != 0);
    struct slice exact = own(text_slice(&token), false);
    const char *why = verify(&claims, flags, exact, NOW_S);
    must(why == NULL || (why[0] != '\0' && claims.memory == NULL && claims.subject.p == NULL && claims.subscribe.count == 0));
    must(why != NULL || ((flags & 3) == 0 && exact.n <= JWT_MAX));
    if (why == NULL) {
        check_valid(&claims, head, text);
        check_expiry(flags, exact, claims.expires_s);
        jwt_claims_free(&claims);
    }
    disown(exact);
    text_free(&token);
    return 0;
}
