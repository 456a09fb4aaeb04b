/* libh2o's development package ships http2_internal.h but not the khash.h it includes. Only the table of a connection's streams is
 * one, and we only walk it (h2_timeouts.c): so its layout is here, and of the functions the names alone, for an inline function of
 * the header that we never call. */
#pragma once

#include <stdint.h>

#define khash_t(name) struct khash_##name
#define KHASH_MAP_INIT_INT64(name, type)                            \
    struct khash_##name {                                           \
        uint32_t slots, entries, touched, limit;                    \
        uint32_t *marks; /* two bits a slot; 0: it holds a value */ \
        uint64_t *keys;                                             \
        type *values;                                               \
    };

typedef unsigned khiter_t;

#define kh_get(name, table, key) ((void)(table), (void)(key), 0u)
#define kh_end(table) ((void)(table), 0u)
#define kh_val(table, iter) ((void)(table), (void)(iter), NULL)

#define KHASH_HOLDS(table, slot) (((table)->marks[(slot) / 16] >> (slot) % 16 * 2 & 3) == 0)
