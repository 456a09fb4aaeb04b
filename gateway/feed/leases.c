#include "gateway/feed/leases.h"

#include <stdlib.h>

#include "runtime/h2o.h"

enum { LEAST = 16 };

static void set_place(struct leases *leases, uint32_t place, struct lease *lease)
{
    leases->heap[place - 1] = lease;
    lease->place = place;
}

/* From an empty place: those above that are due later come down. Returns where the lease may stand. */
static uint32_t rise(struct leases *leases, uint32_t place, uint64_t due_ms)
{
    while (place > 1 && leases->heap[place / 2 - 1]->due_ms > due_ms) {
        set_place(leases, place, leases->heap[place / 2 - 1]);
        place /= 2;
    }
    return place;
}

/* … those below that are due sooner come up. */
static uint32_t sink(struct leases *leases, uint32_t place, uint64_t due_ms)
{
    for (uint32_t below; (below = 2 * place) <= leases->count; place = below) {
        if (below < leases->count && leases->heap[below]->due_ms < leases->heap[below - 1]->due_ms)
            ++below;
        if (leases->heap[below - 1]->due_ms >= due_ms)
            break;
        set_place(leases, place, leases->heap[below - 1]);
    }
    return place;
}

static void fill(struct leases *leases, uint32_t place, struct lease *lease)
{
    set_place(leases, sink(leases, rise(leases, place, lease->due_ms), lease->due_ms), lease);
}

void leases_put(struct leases *leases, struct lease *lease, uint64_t due_ms)
{
    uint32_t place = lease->place;
    if (place == 0) {
        if (leases->count == leases->capacity) {
            leases->capacity = leases->capacity == 0 ? LEAST : 2 * leases->capacity;
            leases->heap = h2o_mem_realloc(leases->heap, leases->capacity * sizeof(leases->heap[0]));
        }
        place = ++leases->count;
    }
    lease->due_ms = due_ms;
    fill(leases, place, lease);
}

void leases_remove(struct leases *leases, struct lease *lease)
{
    uint32_t place = lease->place;
    if (place == 0)
        return;
    struct lease *last = leases->heap[--leases->count];
    lease->place = 0;
    if (last != lease)
        fill(leases, place, last);
    if (leases->count == 0) {
        free(leases->heap);
        *leases = (struct leases){.count = 0};
    }
}
