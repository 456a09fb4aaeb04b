/* Path to answer: the table of design section 3. */
#pragma once

#include "gateway/gateway.h"

/* Registers everything the public ports serve on this host: the routes, then the way to the publisher for what is not ours to answer. */
void routes_register(struct gateway *gateway, h2o_hostconf_t *host);
