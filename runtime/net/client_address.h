/* The address of a client, for counting what it does. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "runtime/slice.h"

struct client_address {
    uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
};

/* False for another family than IPv4 and IPv6. */
bool client_address_read(struct client_address *out, const struct sockaddr *address);

/* An address alone: 192.0.2.1 or 2001:db8::1. */
bool client_address_literal(struct client_address *out, struct slice text);

/* An address as X-Forwarded-For spells it: 192.0.2.1, 2001:db8::1, [2001:db8::1], and with a port 192.0.2.1:80 or [2001:db8::1]:80. */
bool client_address_parse(struct client_address *out, struct slice text);

/* As a log shows it: 192.0.2.1, 2001:db8::1; "-" when there is none. */
enum { CLIENT_ADDRESS_TEXT_MAX = 46 };
const char *client_address_print(const struct client_address *address, char text[CLIENT_ADDRESS_TEXT_MAX]);

/* What one client has: the whole IPv4 address, or the first 64 bits of an IPv6 one. */
struct client_address client_address_network(struct client_address address);
