#include "runtime/auth/jwt_keys.h"

#include <cjose/util.h>
#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "runtime/read_file.h"

enum { FILE_MAX_BYTES = 1048576 };

/* The algorithms a token may be signed with, and the keys each takes (RFC 7518 section 3). What is not here is refused; so is
 * "none". */
static const struct algorithm {
    const char *name;
    cjose_jwk_kty_t type;
    size_t bits; /* the key has at least */
    int curve; /* CJOSE_JWK_KTY_EC only */
} algorithms[] = {
    {"HS256", CJOSE_JWK_KTY_OCT, 256, 0},
    {"HS384", CJOSE_JWK_KTY_OCT, 384, 0},
    {"HS512", CJOSE_JWK_KTY_OCT, 512, 0},
    {"RS256", CJOSE_JWK_KTY_RSA, 2048, 0},
    {"RS384", CJOSE_JWK_KTY_RSA, 2048, 0},
    {"RS512", CJOSE_JWK_KTY_RSA, 2048, 0},
    {"PS256", CJOSE_JWK_KTY_RSA, 2048, 0},
    {"PS384", CJOSE_JWK_KTY_RSA, 2048, 0},
    {"PS512", CJOSE_JWK_KTY_RSA, 2048, 0},
    {"ES256", CJOSE_JWK_KTY_EC, 0, CJOSE_JWK_EC_P_256},
    {"ES384", CJOSE_JWK_KTY_EC, 0, CJOSE_JWK_EC_P_384},
    {"ES512", CJOSE_JWK_KTY_EC, 0, CJOSE_JWK_EC_P_521},
};

struct key {
    cjose_jwk_t *jwk;
    const struct algorithm *only; /* the JWK's own "alg"; NULL: it names none */
    uint32_t print; /* see struct jwt_key */
};

struct jwt_keys {
    size_t count;
    struct key keys[JWT_KEYS_MAX];
};

static const struct algorithm *algorithm_of(const char *name)
{
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); ++i)
        if (strcmp(algorithms[i].name, name) == 0)
            return &algorithms[i];
    return NULL;
}

static bool fits(const struct key *key, const struct algorithm *algorithm)
{
    if (cjose_jwk_get_kty(key->jwk, NULL) != algorithm->type || (key->only != NULL && key->only != algorithm))
        return false;
    if (algorithm->type == CJOSE_JWK_KTY_EC)
        return (int)cjose_jwk_EC_get_curve(key->jwk, NULL) == algorithm->curve;
    return cjose_jwk_get_keysize(key->jwk, NULL) >= algorithm->bits;
}

static uint32_t print_of(const struct key *key)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    uint32_t print;
    char *json = cjose_jwk_to_json(key->jwk, true, NULL), *all;
    if (json == NULL || asprintf(&all, "%s %s", key->only == NULL ? "" : key->only->name, json) == -1)
        abort(); /* only without memory */
    if (EVP_Digest(all, strlen(all), digest, NULL, EVP_sha256(), NULL) != 1)
        abort();
    memcpy(&print, digest, sizeof(print));
    explicit_bzero(all, strlen(all));
    explicit_bzero(json, strlen(json));
    free(all);
    cjose_get_dealloc()(json);
    return print == 0 ? 1 : print;
}

static const char *add(struct jwt_keys *keys, cjose_jwk_t *jwk, const struct algorithm *only)
{
    if (jwk == NULL)
        return "it contains a key that cannot be used";
    if (keys->count == JWT_KEYS_MAX) {
        cjose_jwk_release(jwk);
        return "there are more than 100 keys";
    }
    struct key *key = &keys->keys[keys->count++];
    *key = (struct key){.jwk = jwk, .only = only};
    key->print = print_of(key);
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); ++i)
        if (fits(key, &algorithms[i]))
            return NULL;
    return "a key is too short: RSA needs 2048 bits, HMAC 32 bytes (HS384 48, HS512 64)";
}

/* ---- PEM ---- */

enum { NUMBER_MAX = 2048 /* bytes: RSA of 16384 bits */ };

static size_t number_of(const EVP_PKEY *key, const char *name, uint8_t out[NUMBER_MAX])
{
    BIGNUM *number = NULL;
    size_t n = 0;
    if (EVP_PKEY_get_bn_param(key, name, &number) == 1 && BN_num_bytes(number) <= NUMBER_MAX)
        n = (size_t)BN_bn2bin(number, out);
    BN_free(number);
    return n;
}

static cjose_jwk_t *jwk_of_rsa(const EVP_PKEY *key)
{
    uint8_t n[NUMBER_MAX], e[NUMBER_MAX];
    cjose_jwk_rsa_keyspec spec = {.n = n, .e = e};
    spec.nlen = number_of(key, OSSL_PKEY_PARAM_RSA_N, n);
    spec.elen = number_of(key, OSSL_PKEY_PARAM_RSA_E, e);
    return spec.nlen == 0 || spec.elen == 0 ? NULL : cjose_jwk_create_RSA_spec(&spec, NULL);
}

static cjose_jwk_t *jwk_of_ec(const EVP_PKEY *key)
{
    uint8_t x[NUMBER_MAX], y[NUMBER_MAX];
    char group[64];
    if (EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1)
        return NULL;
    cjose_jwk_ec_keyspec spec = {.crv = (cjose_jwk_ec_curve)OBJ_sn2nid(group), .x = x, .y = y};
    if (spec.crv != CJOSE_JWK_EC_P_256 && spec.crv != CJOSE_JWK_EC_P_384 && spec.crv != CJOSE_JWK_EC_P_521)
        return NULL;
    spec.xlen = number_of(key, OSSL_PKEY_PARAM_EC_PUB_X, x);
    spec.ylen = number_of(key, OSSL_PKEY_PARAM_EC_PUB_Y, y);
    return spec.xlen == 0 || spec.ylen == 0 ? NULL : cjose_jwk_create_EC_spec(&spec, NULL);
}

/* The first public key, or else the first certificate's. */
static EVP_PKEY *read_public_key(struct slice text)
{
    BIO *bio = BIO_new_mem_buf(text.p, (int)text.n);
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    if (key == NULL && BIO_reset(bio) == 1) {
        X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        key = certificate == NULL ? NULL : X509_get_pubkey(certificate);
        X509_free(certificate);
    }
    BIO_free(bio);
    return key;
}

static const char *read_pem(struct jwt_keys *keys, struct slice text)
{
    if (memmem(text.p, text.n, "PRIVATE KEY-----", 16) != NULL)
        return "holds a private key; give the public one, or a certificate";
    EVP_PKEY *key = read_public_key(text);
    if (key == NULL)
        return "holds no PEM public key or certificate that can be read";
    bool rsa = EVP_PKEY_is_a(key, "RSA"), ec = EVP_PKEY_is_a(key, "EC");
    const char *why = rsa || ec ? add(keys, rsa ? jwk_of_rsa(key) : jwk_of_ec(key), NULL) : "the key is neither RSA nor EC";
    EVP_PKEY_free(key);
    return why;
}

/* ---- JSON ---- */

bool jwt_is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && json_string_length(value) == strlen(text) && strcmp(json_string_value(value), text) == 0;
}

bool jwt_lists(const json_t *array, const char *text)
{
    size_t i;
    json_t *item;
    json_array_foreach(array, i, item) if (jwt_is_text(item, text)) return true;
    return false;
}

/* Whether it is a key for signatures of a kind known here. */
static bool is_ours(const json_t *jwk)
{
    const json_t *type = json_object_get(jwk, "kty"), *use = json_object_get(jwk, "use"), *ops = json_object_get(jwk, "key_ops");
    const json_t *alg = json_object_get(jwk, "alg"), *curve = json_object_get(jwk, "crv");
    if ((use != NULL && !jwt_is_text(use, "sig")) || (ops != NULL && !jwt_lists(ops, "verify")))
        return false;
    if (alg != NULL && (!json_is_string(alg) || algorithm_of(json_string_value(alg)) == NULL))
        return false;
    if (jwt_is_text(type, "EC"))
        return jwt_is_text(curve, "P-256") || jwt_is_text(curve, "P-384") || jwt_is_text(curve, "P-521");
    return jwt_is_text(type, "RSA") || jwt_is_text(type, "oct");
}

/* Whether what it holds of the key's bytes is base64url: libcjose's decoder ends the process on a '=' in the wrong place. */
static bool is_decodable(const json_t *jwk)
{
    static const char *const members[] = {"n", "e", "x", "y", "k"};
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); ++i) {
        const json_t *member = json_object_get(jwk, members[i]);
        const char *text = json_string_value(member);
        if (member != NULL && (text == NULL || text[0] == '\0' || text[strspn(text, alphabet)] != '\0' || strlen(text) % 4 == 1))
            return false;
    }
    return true;
}

static const char *read_jwk(struct jwt_keys *keys, json_t *jwk)
{
    const json_t *alg = json_object_get(jwk, "alg");
    if (!json_is_object(jwk))
        return "it contains a key that is not a JSON object";
    if (!is_ours(jwk))
        return NULL;
    if (json_object_get(jwk, "d") != NULL)
        return "holds a private key; give only the public members";
    if (!is_decodable(jwk))
        return "it contains a key that is not in base64url";
    return add(keys, cjose_jwk_import_json(jwk, NULL), alg == NULL ? NULL : algorithm_of(json_string_value(alg)));
}

static const char *read_json(struct jwt_keys *keys, struct slice text)
{
    json_t *root = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL), *list = json_object_get(root, "keys"), *jwk;
    const char *why = root == NULL ? "is not valid JSON" : NULL;
    size_t i;
    if (why == NULL && list == NULL)
        why = read_jwk(keys, root);
    else if (why == NULL && !json_is_array(list))
        why = "its \"keys\" is not a list";
    json_array_foreach(list, i, jwk)
    {
        if (why == NULL)
            why = read_jwk(keys, jwk);
    }
    json_decref(root);
    return why != NULL || keys->count != 0 ? why : "holds no key that can verify a token";
}

/* ---- all of them ---- */

static const char *read_secret(struct jwt_keys *keys, struct slice text)
{
    if (text.n != 0 && text.p[text.n - 1] == '\n')
        --text.n;
    if (text.n != 0 && text.p[text.n - 1] == '\r')
        --text.n;
    if (text.n < JWT_SECRET_MIN)
        return "holds neither PEM nor JSON, and a secret must have at least 32 bytes";
    return add(keys, cjose_jwk_create_oct_spec((const uint8_t *)text.p, text.n, NULL), NULL);
}

static struct slice without_space(struct slice text)
{
    while (text.n != 0 && strchr(" \t\r\n", text.p[0]) != NULL && text.p[0] != 0)
        text = slice_from(text, 1);
    return text;
}

struct jwt_keys *jwt_keys_parse(struct slice text, const char **error)
{
    struct jwt_keys *keys = calloc(1, sizeof(*keys));
    if (keys == NULL)
        abort();
    if (memmem(text.p, text.n, "-----BEGIN ", 11) != NULL)
        *error = read_pem(keys, text);
    else if (slice_starts(without_space(text), SLICE("{")))
        *error = read_json(keys, text);
    else
        *error = read_secret(keys, text);
    ERR_clear_error();
    if (*error == NULL)
        return keys;
    jwt_keys_free(keys);
    return NULL;
}

struct jwt_keys *jwt_keys_load(const char *path, const char **error)
{
    size_t n;
    char *text = read_file(path, FILE_MAX_BYTES, &n, error);
    if (text == NULL)
        return NULL;
    struct jwt_keys *keys = jwt_keys_parse(slice_make(text, n), error);
    explicit_bzero(text, n);
    free(text);
    return keys;
}

void jwt_keys_free(struct jwt_keys *keys)
{
    if (keys == NULL)
        return;
    for (size_t i = 0; i < keys->count; ++i)
        cjose_jwk_release(keys->keys[i].jwk);
    free(keys);
}

/* The only key that fits and has this kid (NULL: has none; or any at all when it does not matter). */
static struct jwt_key find_only(const struct jwt_keys *keys, const struct algorithm *algorithm, const char *kid, bool any)
{
    struct jwt_key found = {NULL, 0};
    for (size_t i = 0; i < keys->count; ++i) {
        const char *own = cjose_jwk_get_kid(keys->keys[i].jwk, NULL);
        bool named = any || (own == NULL ? kid == NULL : kid != NULL && strcmp(own, kid) == 0);
        if (!named || !fits(&keys->keys[i], algorithm))
            continue;
        if (found.jwk != NULL)
            return (struct jwt_key){NULL, 0};
        found = (struct jwt_key){keys->keys[i].jwk, keys->keys[i].print};
    }
    return found;
}

static bool is_named(const struct jwt_keys *keys, const char *kid)
{
    for (size_t i = 0; i < keys->count; ++i) {
        const char *own = cjose_jwk_get_kid(keys->keys[i].jwk, NULL);
        if (own != NULL && strcmp(own, kid) == 0)
            return true;
    }
    return false;
}

struct jwt_key jwt_keys_find(const struct jwt_keys *keys, const char *name, const char *kid)
{
    const struct algorithm *algorithm = algorithm_of(name);
    if (algorithm == NULL)
        return (struct jwt_key){NULL, 0};
    if (kid != NULL)
        return find_only(keys, algorithm, is_named(keys, kid) ? kid : NULL, false);
    return find_only(keys, algorithm, NULL, true);
}

bool jwt_keys_hold(const struct jwt_keys *keys, uint32_t print)
{
    for (size_t i = 0; i < keys->count; ++i)
        if (keys->keys[i].print == print)
            return true;
    return false;
}
