/* What libh2o 2.2.5 writes by itself and we would say otherwise: the answer to a request that it can't parse, which is one JSON
 * sentence here as every other error, and the head of an upgrade (runtime/h2o/takeover.h). All it writes goes through h2o_socket_write(),
 * which this program defines anew. */
#pragma once

#include "runtime/h2o.h"

/* The next write of this thread writes `head` instead, which stays the caller's. */
void socket_write_instead(h2o_iovec_t *head);

/* Takes that back; false: it was written. */
bool socket_write_withdraw(void);

/* NULL, or the sentence why the library in this process can't be made to write through here; for the start. */
const char *socket_write_start(void);
