/* Functions of libh2o that this program defines anew: calls between the library's files go through its symbol table, where the
 * executable comes first. */
#pragma once

#include <stddef.h>

struct interposed {
    const char *name;
    void *ours;
    void **theirs; /* where interpose_find() puts the library's */
};

/* For a constructor: the library's own functions, to be called from ours. */
void interpose_find(const struct interposed *functions, size_t count);

/* NULL when the library has them all and will call ours, else a sentence; for the start. */
const char *interpose_check(const struct interposed *functions, size_t count);
