/* What the fuzz targets share. A target is one file, fuzz_<what>.c, that says at its top how it reads its input and what must hold; its main is
 * libFuzzer's (the CMake preset `fuzz`), or replay.c in every other build. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/slice.h"

#define FUZZ_UNUSED __attribute__((unused))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property of the target. Where it does not hold the process ends, so that the input is kept. */
#define must(cond)                                                                     \
    do {                                                                               \
        if (!(cond)) {                                                                 \
            fprintf(stderr, "%s:%d: this must hold: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                                                   \
        }                                                                              \
    } while (0)

/* Inputs of several fields have the byte 0xff between them: it is in no UTF-8 text. The next one; empty when there is none left. */
FUZZ_UNUSED static inline struct slice next_field(struct slice *rest)
{
    struct slice field = slice_split(rest, '\xff');
    return field.p == NULL ? SLICE("") : field;
}

/* A copy that ends where its memory does, with a NUL behind it that is not part of it only where `terminated`. free() its p. */
FUZZ_UNUSED static inline struct slice own(struct slice s, bool terminated)
{
    char *p = malloc(s.n + terminated + (s.n + terminated == 0));
    must(p != NULL);
    if (s.n != 0)
        memcpy(p, s.p, s.n);
    if (terminated)
        p[s.n] = '\0';
    return slice_make(p, s.n);
}

FUZZ_UNUSED static inline void disown(struct slice s)
{
    free((char *)(uintptr_t)s.p);
}

/* Text that grows; zeroed memory is the empty one. */
struct text {
    char *p;
    size_t n, room;
};

FUZZ_UNUSED static inline void text_add(struct text *text, struct slice s)
{
    if (text->p == NULL || text->n + s.n + 1 > text->room) {
        text->room = 2 * (text->n + s.n) + 64;
        text->p = realloc(text->p, text->room);
        must(text->p != NULL);
    }
    if (s.n != 0)
        memcpy(text->p + text->n, s.p, s.n);
    text->n += s.n;
    text->p[text->n] = '\0';
}

FUZZ_UNUSED static inline void text_add_byte(struct text *text, int byte)
{
    text_add(text, slice_make(&(char){(char)byte}, 1));
}

FUZZ_UNUSED static inline struct slice text_slice(const struct text *text)
{
    return text->p == NULL ? SLICE("") : slice_make(text->p, text->n);
}

FUZZ_UNUSED static inline void text_free(struct text *text)
{
    free(text->p);
    *text = (struct text){NULL, 0, 0};
}
