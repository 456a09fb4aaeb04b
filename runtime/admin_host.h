/* Checks the Host of requests to the admin port. A page of another site can make a browser ask it under that site's own name, once its DNS
 * says that the name is this address (DNS rebinding), and would read the answers. */
#pragma once

#include <stdbool.h>

#include "runtime/slice.h"

/* The row of ADMIN_HOSTS for a table of settings. */
#define ADMIN_HOSTS_SETTING(at_)                                                                                                  \
    {                                                                                                                             \
        .name = "ADMIN_HOSTS", .kind = CONFIG_TEXT, .fallback = "", .at = at_, .check = admin_hosts_check,                        \
        .doc = "further host names that the admin port accepts, comma-separated; `*.example.org`: all names below it; `*`: any; " \
               "addresses, localhost, names without a dot and the host's own name are always accepted"                            \
    }
const char *admin_hosts_check(const char *hosts);

/* `hosts` is ADMIN_HOSTS, checked; `host` ADMIN_HOST. Both are borrowed. Before threads start. */
void admin_host_init(const char *hosts, const char *host);

/* Whether a request with this Host (perhaps with ":port"; {NULL, 0} or empty without one) may be answered: one of an address, of localhost
 * or a name below it, of a name without a dot (a container's or Service's: the DNS of the world has none), of the host's own name, of
 * ADMIN_HOST or of ADMIN_HOSTS. */
bool admin_host_good(struct slice authority);
