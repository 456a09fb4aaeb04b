/* Checks the Host of requests to the admin port. A page of another site can make a browser ask it under that site's own name, once its DNS
 * says that the name is this address (DNS rebinding), and would read the answers. */
#pragma once

#include <stdbool.h>

#include "runtime/slice.h"

/* Of the setting ADMIN_HOSTS, see config_option.check. */
const char *admin_hosts_check(const char *hosts);

/* `hosts` is ADMIN_HOSTS, checked; `host` ADMIN_HOST. Both are borrowed. Before threads start. */
void admin_host_init(const char *hosts, const char *host);

/* Whether a request with this Host (perhaps with ":port"; {NULL, 0} or empty without one) may be answered: one of an address, of localhost
 * or a name below it, of a name without a dot (a container's or Service's: the DNS of the world has none), of the host's own name, of
 * ADMIN_HOST or of ADMIN_HOSTS. */
bool admin_host_good(struct slice authority);
