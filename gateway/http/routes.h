/* Which path is answered by what. The table in routes.c has a row for each path. A refusal is http_error() of runtime/http.h; of a
 * stream, struct refusal and stream_refuse() of open.h. Every path and status stands in proto/openapi.yaml, which a test holds to
 * the programs. */
#pragma once

#include "gateway/http/site.h"

/* Registers everything the public ports serve on this host: the routes, then the way to the publisher for what is not ours to
 * answer. The contexts of this host are those of struct site_worker. `publisher_tls` (borrowed): see upstream_register(). */
void routes_register(struct site *site, h2o_hostconf_t *host, SSL_CTX *publisher_tls);
