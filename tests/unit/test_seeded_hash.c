#include "runtime/seeded_hash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "tests/check.h"

enum { LENGTH_MAX = 70 };

/* What OpenSSL's SipHash gives for one and three rounds. */
static uint64_t reference(const void *bytes, size_t n)
{
    unsigned size = 8, c_rounds = 1, d_rounds = 3;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_SIZE, &size),
                           OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_C_ROUNDS, &c_rounds),
                           OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_D_ROUNDS, &d_rounds), OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    uint64_t out = 0;
    size_t out_size = 0;
    bool good = EVP_MAC_init(ctx, (const unsigned char *)seeded_hash_key, sizeof(seeded_hash_key), params) == 1 &&
                EVP_MAC_update(ctx, bytes, n) == 1 && EVP_MAC_final(ctx, (unsigned char *)&out, &out_size, sizeof(out)) == 1;
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return good && out_size == sizeof(out) ? le64toh(out) : 0;
}

static void check_same_as_reference(const char *what)
{
    uint8_t bytes[LENGTH_MAX];
    for (size_t i = 0; i < sizeof(bytes); ++i)
        bytes[i] = (uint8_t)(i * 37 + 1);
    for (size_t n = 0; n <= sizeof(bytes); ++n)
        check(seeded_hash(bytes, n) == reference(bytes, n), "%s: %zu bytes hash as OpenSSL's SipHash-1-3 does", what, n);
}

int main(void)
{
    check(seeded_hash_key[0] != 0 && seeded_hash_key[1] != 0, "the key is drawn before main()");
    check_same_as_reference("drawn key");
    uint64_t before = seeded_hash("channel", 7);
    seeded_hash_key[0] = 0x0706050403020100;
    seeded_hash_key[1] = 0x0f0e0d0c0b0a0908;
    check_same_as_reference("fixed key");
    check(seeded_hash("channel", 7) != before, "another key gives another hash");
    return check_end();
}
