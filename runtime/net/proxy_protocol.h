/* The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): the line or header with which a proxy that passes bytes on names
 * the client they come from. Pure, and strict: what a proxy of good will does not send is refused. */
#pragma once

#include <sys/socket.h>

#include "runtime/slice.h"

/* Bytes of a header, at most; of version 1 it is 107. Version 2 could say up to 65551, and real ones stay far below this. */
enum { PROXY_PROTOCOL_MAX = 2048 };

enum proxy_protocol {
    PROXY_PROTOCOL_MORE, /* more bytes must come: *used is 0 */
    PROXY_PROTOCOL_BAD,
    PROXY_PROTOCOL_OWN, /* the proxy speaks for itself, or names no client: its own address counts */
    PROXY_PROTOCOL_CLIENT, /* *client is the client that it names */
};

/* Reads the header at the front of `bytes`, *used long. */
enum proxy_protocol proxy_protocol_read(struct slice bytes, struct sockaddr_storage *client, socklen_t *client_length,
                                        size_t *used);
