/* JSON Web Tokens (RFC 7519) in the compact form of a JWS (RFC 7515): from a token to its claims. The cryptography and the
 * comparison are libcjose's. Any thread. */
#pragma once

#include <stdint.h>

#include "runtime/auth/grants.h"
#include "runtime/auth/jwt_keys.h"

enum {
    JWT_MAX = 8192, /* bytes of a token */
    JWT_LEEWAY_S = 10, /* by which the clock of the issuer may differ */
};

#define JWT_TOO_LONG "the token is longer than 8192 bytes"

struct jwt_options {
    const char *issuer; /* "iss" must be this; "": anything */
    const char *audience; /* "aud" must be or hold this; "": anything */
};

/* What a valid token says, for example:
 *
 *     {"sub": "42", "exp": 1800000000, "iss": "https://id.example", "aud": "sse",
 *      "sse": {"subscribe": ["news", "user/42:*"], "publish": ["orders"]}}
 *
 * Each is optional here, "nbf" too; "aud" may be a list. "subscribe" and "publish" are lists of at most 100 patterns (see grants.h) of
 * 1 to 200 bytes. */
struct jwt_claims {
    int64_t from_s, expires_s; /* Unix time; INT64_MIN: always was, INT64_MAX: never does */
    uint32_t key; /* the print of the key that signed it, see struct jwt_key */
    struct slice subject; /* {NULL, 0} without */
    struct grants subscribe, publish;
    void *memory; /* holds the patterns and texts until jwt_claims_free() */
    size_t size; /* its bytes */
};

/* NULL and *claims, or a static sentence why the token is not valid at now_s (Unix time); *claims is empty then. */
const char *jwt_verify(struct jwt_claims *claims, const struct jwt_keys *keys, const struct jwt_options *options,
                       struct slice token, int64_t now_s);

/* NULL, or the sentence that jwt_verify() has for a token that has expired at now_s or is not valid yet. */
const char *jwt_check_times(const struct jwt_claims *claims, int64_t now_s);

void jwt_claims_free(struct jwt_claims *claims);
