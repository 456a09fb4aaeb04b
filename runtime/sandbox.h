/* What a server process gives up when its ports are bound and before it has a second thread: whoever takes it over gets a process that can start no program, look into no other
 * process and has no privilege. */
#pragma once

#include <stdbool.h>

struct sandbox_options {
    bool seccomp; /* allow only the system calls of sandbox_calls.h */
    bool core_dumps; /* leave them as they are */
};

/* No new privileges, no capabilities, no core dumps, the filter. What the platform does not permit is left out; the log says what is in force. Sanitizers need what this takes
 * away: under them nothing is done. */
void sandbox_enter(const struct sandbox_options *options);
