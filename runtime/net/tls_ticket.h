/* Session tickets: a client resumes its TLS session at every replica that has the same keys. */
#pragma once

#include <openssl/ssl.h>

enum { TLS_TICKET_KEYS_MAX = 16 };

/* The file holds keys of 80 random bytes in base64, as `openssl rand -base64 80` prints them: the first seals new tickets, all open old ones. Blank space, lines that begin
 * with '#' and PEM's BEGIN and END lines don't count. Without a file (NULL) a key that this process made for itself. NULL, or a sentence in a static buffer that begins with the
 * setting and holds nothing of the file. Main thread. */
const char *tls_ticket_keys(SSL_CTX *ctx, const char *setting, const char *path);
