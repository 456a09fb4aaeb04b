/* Requests over HTTP/1 begin at the pace of pace.h. A connection whose turn is not yet is not read, and what it has sent stays with it. */
#pragma once

#include "runtime/h2o.h"

/* Of a connection that has waited. */
struct h1_pace;

/* The client of a request that is under way has hung up: ends the request and closes the connection. The library does not see it, as it reads no connection then. */
void h1_hang_up(h2o_socket_t *sock);

/* The library wants to read this socket with `cb`: with what it is to be read, or NULL when that waits. */
h2o_socket_cb h1_pace_reader(h2o_socket_t *sock, h2o_socket_cb cb);
