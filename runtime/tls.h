/* TLS for listeners. */
#pragma once

#include <openssl/ssl.h>

/* A server context from PEM files: TLS 1.2 and 1.3, ALPN h2 and http/1.1, buffers released when idle; listener_tls() knows its sessions. NULL and *error (a sentence in a
 * static buffer that names the file) when they can't be used. The caller owns the context. */
SSL_CTX *tls_server(const char *cert_file, const char *key_file, const char **error);
