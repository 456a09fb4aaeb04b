/* Small files that are read whole: keys, policies. */
#pragma once

#include <stddef.h>

/* The content on the heap with a NUL behind it, its length in *n; the caller frees it. NULL and *error, a sentence without the path
 * in a static buffer, when it can't be read or is longer than `max` bytes. One thread at a time. */
char *read_file(const char *path, size_t max, size_t *n, const char **error);
