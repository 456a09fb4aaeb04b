#include "runtime/auth/token_cache.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "runtime/h2o.h"
#include "runtime/seeded_hash.h"

enum { DIGEST_BYTES = 32 };

struct entry {
    uint8_t digest[DIGEST_BYTES];
    bool used; /* since it was put at the end */
    struct jwt_claims claims;
    UT_hash_handle hh;
};

struct token_cache {
    const struct jwt_keys *keys;
    const struct jwt_options *options;
    EVP_MD *sha256;
    EVP_MD_CTX *hashing;
    uint8_t key[DIGEST_BYTES];
    struct entry *entries; /* uthash by digest; the first one goes next unless it was used meanwhile */
    size_t bytes;
};

struct token_cache *token_cache_create(const struct jwt_keys *keys, const struct jwt_options *options)
{
    struct token_cache *cache = h2o_mem_alloc(sizeof(*cache));
    *cache = (struct token_cache){
        .keys = keys, .options = options, .sha256 = EVP_MD_fetch(NULL, "SHA256", NULL), .hashing = EVP_MD_CTX_new()};
    if (cache->sha256 == NULL || cache->hashing == NULL || RAND_bytes(cache->key, sizeof(cache->key)) != 1)
        abort();
    return cache;
}

static void drop(struct token_cache *cache, struct entry *entry)
{
    HASH_DEL(cache->entries, entry);
    cache->bytes -= sizeof(*entry) + entry->claims.size;
    jwt_claims_free(&entry->claims);
    free(entry);
}

static void put_last(struct token_cache *cache, struct entry *entry)
{
    entry->used = false;
    HASH_ADD(hh, cache->entries, digest, DIGEST_BYTES, entry);
}

/* Who was used has a second turn: nearly as good as to queue at each use, which would touch the memory of two others. */
static void make_room(struct token_cache *cache, size_t bytes)
{
    struct entry *entry;
    while ((entry = cache->entries) != NULL &&
           (HASH_COUNT(entry) == TOKEN_CACHE_ENTRIES || cache->bytes + bytes > TOKEN_CACHE_BYTES)) {
        if (!entry->used) {
            drop(cache, entry);
            continue;
        }
        HASH_DEL(cache->entries, entry);
        put_last(cache, entry);
    }
}

void token_cache_free(struct token_cache *cache)
{
    if (cache == NULL)
        return;
    while (cache->entries != NULL)
        drop(cache, cache->entries);
    EVP_MD_CTX_free(cache->hashing);
    EVP_MD_free(cache->sha256);
    explicit_bzero(cache->key, sizeof(cache->key));
    free(cache);
}

/* Keyed, so that neither a place in the table nor the time that comparing takes tells anything of a token, or can be chosen. */
static void digest_of(struct token_cache *cache, struct slice token, uint8_t digest[DIGEST_BYTES])
{
    if (EVP_DigestInit_ex2(cache->hashing, cache->sha256, NULL) != 1 ||
        EVP_DigestUpdate(cache->hashing, cache->key, sizeof(cache->key)) != 1 ||
        EVP_DigestUpdate(cache->hashing, token.p, token.n) != 1 || EVP_DigestFinal_ex(cache->hashing, digest, NULL) != 1)
        abort(); /* only without memory */
}

static struct entry *put(struct token_cache *cache, const uint8_t digest[DIGEST_BYTES], const struct jwt_claims *claims)
{
    struct entry *entry = h2o_mem_alloc(sizeof(*entry));
    make_room(cache, sizeof(*entry) + claims->size);
    *entry = (struct entry){.claims = *claims};
    memcpy(entry->digest, digest, DIGEST_BYTES);
    put_last(cache, entry);
    cache->bytes += sizeof(*entry) + claims->size;
    return entry;
}

/* What was valid once is no longer when its time is over; a clock set back may also make it not valid yet. */
static const char *use(struct token_cache *cache, struct entry *entry, const struct jwt_claims **claims, int64_t now_s)
{
    const char *why = jwt_check_times(&entry->claims, now_s);
    if (why != NULL) {
        drop(cache, entry);
        return why;
    }
    entry->used = true;
    *claims = &entry->claims;
    return NULL;
}

const char *token_cache_verify(struct token_cache *cache, const struct jwt_claims **claims, struct slice token, int64_t now_s)
{
    uint8_t digest[DIGEST_BYTES];
    struct jwt_claims verified;
    *claims = NULL;
    if (token.n > JWT_MAX)
        return JWT_TOO_LONG;
    digest_of(cache, token, digest);
    struct entry *entry;
    HASH_FIND(hh, cache->entries, digest, DIGEST_BYTES, entry);
    if (entry != NULL)
        return use(cache, entry, claims, now_s);
    const char *why = jwt_verify(&verified, cache->keys, cache->options, token, now_s);
    if (why == NULL)
        *claims = &put(cache, digest, &verified)->claims;
    return why;
}

struct token_cache_use token_cache_use(const struct token_cache *cache)
{
    return (struct token_cache_use){.entries = HASH_COUNT(cache->entries), .bytes = cache->bytes};
}
