/* The public routes: POST /post, POST /channels/{name} and POST /channels. */
#pragma once

#include "proto/bus/publish.h"
#include "publisher/options.h"

/* Makes every path of the host this endpoint's, and counts the host's answers. Call it before the host's context is made; *bus must be there by the first
 * request only; options->service.access may change between requests. Both are borrowed for the host's life. */
void endpoint_register(h2o_hostconf_t *host, struct publish *const *bus, const struct options *options);
