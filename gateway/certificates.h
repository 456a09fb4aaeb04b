/* The files of TLS: the clients' end, the publisher's (https://) and Redis's (rediss://). Main thread. */
#pragma once

#include "gateway/options.h"

struct certificates {
    struct options *options; /* name the files, and have Redis's context; borrowed */
    const h2o_url_t *publisher_url; /* borrowed */
    SSL_CTX *server; /* NULL: no TLS */
    SSL_CTX *publisher; /* NULL: PUBLISHER_URL is plain */
};

/* At the start, after the settings were parsed. NULL, or a sentence that names the setting. */
const char *certificates_load(struct certificates *certificates) __attribute__((warn_unused_result));

/* Their ends, for /metrics. */
void certificates_count(const struct certificates *certificates);

/* On SIGHUP: reads the files again. A file that can't be used changes nothing for the connections it is for. False: there are none. */
bool certificates_reload(struct certificates *certificates);
