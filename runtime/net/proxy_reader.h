/* Reads the PROXY header of a connection that was just accepted, before anything else, and gives the socket the address it names. */
#pragma once

#include "runtime/h2o.h"

/* Reads for at most as long as `ctx` gives a TLS handshake. Then on_done(data, sock, good), once: when good the socket is as it was accepted,
 * with what came behind the header as its input; else the caller closes it. `sock` must not be closed before. */
void proxy_reader_start(h2o_context_t *ctx, h2o_socket_t *sock, void (*on_done)(void *data, h2o_socket_t *sock, bool good),
                        void *data);
