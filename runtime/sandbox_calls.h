/* The system calls of a running server, as a seccomp filter. To add one: put it on its list with the rest of its kind, and run tests/hardening/sandbox.test.mjs. */
#pragma once

/* From now on, for this thread and all it starts: calls on the list work, programs can't be started nor processes looked into (the attempt ends the process), everything else fails
 * with EPERM. Needs no-new-privileges or CAP_SYS_ADMIN. NULL, or a static sentence why it is not in force. */
const char *sandbox_calls_restrict(void);
