/* The keys that tokens are checked with, from one file. Immutable once read: any thread may use them. */
#pragma once

#include <cjose/jwk.h>
#include <jansson.h>

#include <stdint.h>

#include "runtime/slice.h"

enum { JWT_KEYS_MAX = 100, JWT_SECRET_MIN = 32 /* bytes */ };

struct jwt_keys;

/* What the content is decides how it is read:
 *     "-----BEGIN …"      PEM: the first public key or certificate, RSA of at least 2048 bits or EC on P-256, P-384 or P-521
 *     "{…"                a JWK Set {"keys":[…]} (RFC 7517), or a single JWK; keys of other types or curves or for encryption
 *                         are left out, as that RFC asks
 *     anything else       an HMAC secret of at least 32 bytes, as it stands but for one line break at its end
 * Private keys are refused: they are not needed to verify tokens. NULL and *error, a static sentence that shows nothing of
 * the content. One thread at a time. jwt_keys_free() it. */
struct jwt_keys *jwt_keys_parse(struct slice text, const char **error);
struct jwt_keys *jwt_keys_load(const char *path, const char **error);

void jwt_keys_free(struct jwt_keys *keys);

struct jwt_key {
    const cjose_jwk_t *jwk;
    uint32_t print; /* tells it from others, also after the file was read again: of its bytes, its kid and its alg; never 0 */
};

/* The key for a token of this algorithm: the one of its kid, or else the only one that has no kid; for a token without kid (NULL)
 * the only one there is. Only keys made for the algorithm count: type, size, curve, and the JWK's own "alg". jwk is NULL when it is none,
 * or not certain which. */
struct jwt_key jwt_keys_find(const struct jwt_keys *keys, const char *algorithm, const char *kid);

/* Whether a key with this print is among them. */
bool jwt_keys_hold(const struct jwt_keys *keys, uint32_t print);

/* For keys and tokens: whether the value is just this text, and whether the array holds it. False for NULL and values of other types. */
bool jwt_is_text(const json_t *value, const char *text);
bool jwt_lists(const json_t *array, const char *text);
