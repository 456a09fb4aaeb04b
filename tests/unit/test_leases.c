/* The heap of leases against a list that is searched from end to end. */
#include "gateway/feed/leases.h"

#include <stdbool.h>
#include <string.h>

#include "tests/check.h"

enum { LEASES = 200, MOVES = 20000 };

static struct leases heap;
static struct lease all[LEASES];
static uint64_t due[LEASES]; /* 0: not in the heap */

static uint32_t draw(uint32_t below)
{
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static uint64_t soonest(void)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < LEASES; ++i)
        least = due[i] != 0 && due[i] < least ? due[i] : least;
    return least;
}

static uint32_t held(void)
{
    uint32_t count = 0;
    for (int i = 0; i < LEASES; ++i)
        count += due[i] != 0;
    return count;
}

static bool agrees(void)
{
    const struct lease *first = leases_first(&heap);
    if (heap.count != held() || (first == NULL) != (heap.count == 0))
        return false;
    for (uint32_t place = 1; place <= heap.count; ++place)
        if (heap.heap[place - 1]->place != place || due[heap.heap[place - 1] - all] != heap.heap[place - 1]->due_ms)
            return false;
    return first == NULL || first->due_ms == soonest();
}

static void test_random(void)
{
    bool good = true;
    for (int i = 0; good && i < MOVES; ++i) {
        uint32_t which = draw(LEASES);
        due[which] = draw(3) == 0 ? 0 : 1 + draw(100); /* many at the same time */
        if (due[which] == 0)
            leases_remove(&heap, &all[which]);
        else
            leases_put(&heap, &all[which], due[which]);
        good = agrees();
    }
    check(good, "whatever is put, moved and taken out, the first is due first");
}

static void test_order(void)
{
    uint64_t before = 0;
    bool rises = true;
    for (struct lease *first; (first = leases_first(&heap)) != NULL; before = first->due_ms) {
        rises = rises && first->due_ms >= before;
        leases_remove(&heap, first);
    }
    check(rises && heap.count == 0, "taken out one after the other, they come in the order of their times");
    check(heap.heap == NULL && heap.capacity == 0, "… and leave no memory behind");
}

int main(void)
{
    check(leases_first(&heap) == NULL, "an empty heap has no first one");
    leases_remove(&heap, &all[0]);
    check(heap.count == 0, "what is in no heap can be taken out");
    test_random();
    test_order();
    return check_end();
}
