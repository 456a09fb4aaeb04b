/* TRUSTED_PROXIES: the addresses whose word on a request's origin counts. */
#pragma once

#include "runtime/h2o.h"
#include "runtime/net/client_address.h"

struct proxies; /* a parsed list; immutable, shared by threads */

/* NULL when `list` is a comma-separated list of addresses and CIDR networks (or empty), else a static sentence. */
const char *proxies_check(const char *list);

/* Parses a checked list. Never freed: it lives as long as the process. */
const struct proxies *proxies_parse(const char *list);

/* Whether this address is one of them. Pure; an IPv4 address mapped into IPv6 counts as the IPv4 one. */
bool proxies_trust(const struct proxies *proxies, const struct sockaddr *address);

/* Who sent this request. The peer, unless that is one of the proxies: then the right-most address of X-Forwarded-For that is not one of
 * them. What stands left of it was written by the client itself, or by somebody else whom we don't know. Where the header does not name
 * such an address, the last proxy that is known counts. All zero when the connection has no address. `proxies` NULL: there are none. */
struct client_address proxies_client(const struct proxies *proxies, h2o_req_t *req);
