/* The certificates of a rediss:// connection: REDIS_CA, REDIS_CERT and REDIS_KEY. */
#pragma once

#include "runtime/redis/redis_url.h"

/* Paths, "" where there is none. */
struct redis_tls {
    const char *ca, *cert, *key;
};

/* Reads the files, at the start and at a reload: url->tls is for the connections made from now on. NULL, or a sentence that names the setting; url->tls stays
 * as it was then. Files without
 * rediss:// are a fault: whoever names them believes in TLS. On the connection's thread. */
const char *redis_tls_load(struct redis_url *url, const struct redis_tls *files) __attribute__((warn_unused_result));

/* The next session of this context is with `host` (not ""), an IP address or a name, which the certificate must be for. On the connections' thread. */
void redis_tls_expect(SSL_CTX *tls, const char *host, bool is_address);
