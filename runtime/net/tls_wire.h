/* TLS on a socket without libh2o in between, which would copy each record and call back for each write. Never blocks. All follow send(2) and recv(2): bytes, 0
 * at the end of the connection, or -1 and errno: EAGAIN for later, EPROTO for a broken session. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/types.h>

/* Takes the session from libh2o: from now on it reads and writes descriptor `fd` itself, and what libh2o had read and not decrypted is dropped. False when the
 * session is no longer usable. */
bool tls_wire_adopt(SSL *tls, int fd);

/* After EAGAIN only bytes that begin with the same ones may be sent. */
ssize_t tls_wire_send(SSL *tls, const char *p, size_t n);

/* Reads and drops; tells what came over the socket, not what was in it: a client that only makes us answer key updates sends no data at all. */
ssize_t tls_wire_drain(SSL *tls);
