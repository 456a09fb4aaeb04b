/* Asks a running program's admin port how it is: what container engines and supervisors run as their health check. */
#pragma once

#include <stdint.h>

/* Asks http://host:port for `path`, "/readyz" or "/healthz"; a host that means every address ("", "0.0.0.0", "::") is asked at loopback. Prints one line on stdout: the
 * answer's body, or why there is none. Returns the exit status: 0 when the answer was 200, else 1. Takes HEALTHCHECK_MS at most, and ends the process with 1
 * when they are over. Uses SIGALRM. */
enum { HEALTHCHECK_MS = 1800 };
int healthcheck(const char *host, int64_t port, const char *path);
