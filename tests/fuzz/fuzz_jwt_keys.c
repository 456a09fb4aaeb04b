/* Input: a kid, then the content of a key file.
 * A file is taken whole or refused with a sentence. Private keys are refused. A key is found only for algorithms of its own kind, long enough for them, and
 * never for "none". */
#include "runtime/auth/jwt_keys.h"

#include "tests/fuzz/fuzz.h"

static void check_key(const cjose_jwk_t *key, const char *algorithm)
{
    cjose_jwk_kty_t type = cjose_jwk_get_kty(key, NULL);
    size_t bits = cjose_jwk_get_keysize(key, NULL);
    if (algorithm[0] == 'H')
        must(type == CJOSE_JWK_KTY_OCT && bits >= (size_t)atoi(algorithm + 2));
    else if (algorithm[0] == 'E')
        must(type == CJOSE_JWK_KTY_EC);
    else
        must(type == CJOSE_JWK_KTY_RSA && bits >= 2048);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const algorithms[] = {"HS256", "HS384", "HS512", "RS256", "RS512", "PS384", "ES256", "ES384", "ES512"};
    struct slice rest = slice_make((const char *)data, size), kid = own(next_field(&rest), true);
    struct slice text = own(rest.p == NULL ? SLICE("") : rest, false);
    const char *error = NULL;
    struct jwt_keys *keys = jwt_keys_parse(text, &error);
    must((keys == NULL) == (error != NULL) && (error == NULL || error[0] != '\0'));
    must(keys == NULL || memmem(text.p, text.n, "PRIVATE KEY-----", 16) == NULL ||
         memmem(text.p, text.n, "-----BEGIN ", 11) == NULL);
    for (size_t i = 0; keys != NULL && i != 2 * sizeof(algorithms) / sizeof(algorithms[0]); ++i) {
        const char *algorithm = algorithms[i / 2];
        struct jwt_key found = jwt_keys_find(keys, algorithm, i % 2 == 0 ? kid.p : NULL);
        const cjose_jwk_t *key = found.jwk;
        must((key != NULL) == (found.print != 0) && (key == NULL || jwt_keys_hold(keys, found.print)));
        if (key != NULL)
            check_key(key, algorithm);
    }
    must(keys == NULL || (jwt_keys_find(keys, "none", NULL).jwk == NULL && jwt_keys_find(keys, "none", kid.p).jwk == NULL));
    jwt_keys_free(keys);
    disown(kid);
    disown(text);
    return 0;
}
