/* What runs out at a time of its own, the soonest first: a heap. A later time costs nothing until the earlier one has come (see channel.c), so that an event that renews a lease
 * moves nothing here. Bus thread only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Part of what has the lease; zeroed: it is in no heap. */
struct lease {
    uint64_t due_ms; /* while it is in one */
    uint32_t place; /* from 1; 0: in none */
};

/* Zeroed memory is an empty heap, and an empty one has no memory of its own. */
struct leases {
    struct lease **heap; /* each is due no later than the two at twice its place */
    uint32_t count, capacity;
};

/* Puts it in, or moves it, to be due then. */
void leases_put(struct leases *leases, struct lease *lease, uint64_t due_ms);

/* Takes it out, if it is in. */
void leases_remove(struct leases *leases, struct lease *lease);

/* The one that is due first; NULL: there is none. */
static inline struct lease *leases_first(const struct leases *leases)
{
    return leases->count == 0 ? NULL : leases->heap[0];
}
