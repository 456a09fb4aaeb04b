/* The limit on open files. */
#pragma once

#include <stddef.h>

/* Below this many descriptors no program starts. */
enum { FILES_MIN = 300 };

/* The process's limit, after its soft one was raised to the hard one. */
size_t file_limit_limit(void);

/* How many connections may be open when `reserve` descriptors are kept for everything else, always: *fit is `wanted`, or fewer where the
 * limit allows no more; wanted 0 asks for as many as it allows. NULL, or a sentence in a static buffer when the limit is too low. */
const char *file_limit_for_connections(size_t wanted, size_t reserve, size_t *fit) __attribute__((warn_unused_result));

/* Logs that *fit above is less than `wanted`, if it is. */
void file_limit_warn(size_t wanted, size_t fit);
