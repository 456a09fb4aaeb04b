#include "tests/simulation/memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/simulation/schedule.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define REAL 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define REAL 1
#endif
#endif
#ifndef REAL
#define REAL 0
#endif

void *__real_malloc(size_t size);
void __real_free(void *p);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);

/* In front of each piece. */
struct piece {
    struct piece *next, *prev; /* of those that live; next: of the free ones of its class */
    const void *from;
    uint32_t size;
    uint16_t gateway, class;
};
_Static_assert(sizeof(struct piece) % 16 == 0, "a piece's bytes are aligned as malloc's");

enum { STEP = 32, SMALL = 64, CLASSES = 96, AREA = 1 << 28, PERMANENT = 0xffff };

static bool on;
static struct piece *live[MEMORY_OWNERS];
static size_t counts[MEMORY_OWNERS];
static struct piece *spare[CLASSES];
static char *area, *area_next;

/* Sizes up to SMALL steps have a class each, larger ones one for each power of two. */
static uint16_t class_of(size_t size)
{
    size_t steps = (size + STEP - 1) / STEP;
    return (uint16_t)(steps < SMALL ? steps : SMALL + 64 - (size_t)__builtin_clzll(steps));
}

static size_t room_of(uint16_t class)
{
    return class < SMALL ? (size_t) class * STEP : (size_t)STEP << (class - SMALL);
}

static struct piece *take_real(size_t size)
{
    struct piece *piece = __real_malloc(sizeof(*piece) + size);
    if (piece == NULL)
        abort();
    return piece;
}

static struct piece *take(size_t size, uint16_t class)
{
    struct piece *piece = spare[class];
    if (piece != NULL) {
        spare[class] = piece->next;
        return piece;
    }
    size_t whole = sizeof(*piece) + room_of(class);
    if (area == NULL)
        area = area_next = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED || whole > (size_t)(area + AREA - area_next))
        abort();
    piece = (struct piece *)area_next;
    area_next += whole;
    (void)size;
    return piece;
}

static void *allocate(size_t size, const void *from)
{
    uint16_t class = class_of(size == 0 ? 1 : size), gateway = thread_now == NULL ? 0 : thread_now->gateway;
    if (!on && !REAL)
        return __real_malloc(size);
    struct piece *piece = REAL ? take_real(size) : take(size, class);
    piece->size = (uint32_t)size;
    piece->class = class;
    piece->from = from;
    piece->gateway = on ? gateway : PERMANENT;
    if (on) {
        piece->next = live[gateway];
        piece->prev = NULL;
        if (piece->next != NULL)
            piece->next->prev = piece;
        live[gateway] = piece;
        ++counts[gateway];
    }
    return piece + 1;
}

static bool is_ours(const void *p)
{
    return REAL || ((const char *)p >= area && (const char *)p < area + AREA && area != NULL);
}

static void give_back(struct piece *piece)
{
    if (piece->gateway != PERMANENT) {
        if (piece->prev == NULL)
            live[piece->gateway] = piece->next;
        else
            piece->prev->next = piece->next;
        if (piece->next != NULL)
            piece->next->prev = piece->prev;
        --counts[piece->gateway];
    }
    if (REAL) {
        __real_free(piece);
        return;
    }
    piece->next = spare[piece->class];
    spare[piece->class] = piece;
}

void *__wrap_malloc(size_t size)
{
    return allocate(size, __builtin_return_address(0));
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *p = allocate(count * size, __builtin_return_address(0));
    return memset(p, 0, count * size);
}

void __wrap_free(void *p)
{
    if (p == NULL)
        return;
    if (is_ours(p))
        give_back((struct piece *)p - 1);
    else
        __real_free(p);
}

void *__wrap_realloc(void *p, size_t size)
{
    if (p != NULL && !is_ours(p))
        return __real_realloc(p, size);
    void *copy = allocate(size, __builtin_return_address(0));
    if (p != NULL) {
        size_t had = ((struct piece *)p - 1)->size;
        memcpy(copy, p, had < size ? had : size);
        __wrap_free(p);
    }
    return copy;
}

void memory_begin(void)
{
    on = true;
}

void memory_end(void)
{
    on = false;
    for (int i = 0; i < MEMORY_OWNERS; ++i) {
        while (REAL && live[i] != NULL)
            give_back(live[i]);
        live[i] = NULL;
        counts[i] = 0;
    }
    memset(spare, 0, sizeof(spare));
    area_next = area;
}

size_t memory_live(uint16_t gateway)
{
    return counts[gateway];
}

void memory_each(uint16_t gateway, void (*cb)(void *data, const void *from, size_t size), void *data)
{
    for (const struct piece *piece = live[gateway]; piece != NULL; piece = piece->next)
        cb(data, piece->from, piece->size);
}
