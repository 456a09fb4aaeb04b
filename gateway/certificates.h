/* The files of TLS: the clients' end, the publisher's (https://) and Redis's (rediss://). Main thread. */
#pragma once

#include "gateway/options.h"
#include "runtime/net/tls.h"
#include "runtime/redis/redis_url.h"

struct certificates {
    const struct options *options; /* what names the files; borrowed, as the others */
    const h2o_url_t *publisher_url;
    struct redis_url *redis; /* has Redis's context */
    SSL_CTX *server; /* NULL: no TLS */
    SSL_CTX *publisher; /* NULL: PUBLISHER_URL is plain */
};

/* At the start, after the settings were parsed. NULL, or a sentence that names the setting. */
const char *certificates_load(struct certificates *certificates) __attribute__((warn_unused_result));

/* Their ends, for /metrics. */
void certificates_count(const struct certificates *certificates);

/* On SIGHUP: reads the files again. A file that can't be used changes nothing for the connections it is for. False: there are none. */
bool certificates_reload(struct certificates *certificates);
