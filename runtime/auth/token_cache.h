/* Tokens that were found valid, so that the next request with the same one costs no signature check. Holds what they say, under a
 * keyed SHA-256 of them, and never the tokens. The oldest and unused go first when it is full. One thread only; one for each
 * generation of keys. */
#pragma once

#include "runtime/auth/jwt.h"

/* Both bound it; a token of one pattern and a short subject takes about 300 bytes. */
enum { TOKEN_CACHE_ENTRIES = 16384, TOKEN_CACHE_BYTES = 8 << 20 };

/* How many tokens it holds, and in how many bytes. */
struct token_cache_use {
    size_t entries, bytes;
};

struct token_cache;

/* Keys and options are borrowed. token_cache_free() it. */
struct token_cache *token_cache_create(const struct jwt_keys *keys, const struct jwt_options *options);

/* NULL too. */
void token_cache_free(struct token_cache *cache);

/* As jwt_verify(), also in what it says of a token that has expired since it was put in; *claims stays the cache's, until the next
 * call with it. */
const char *token_cache_verify(struct token_cache *cache, const struct jwt_claims **claims, struct slice token, int64_t now_s);

struct token_cache_use token_cache_use(const struct token_cache *cache);
