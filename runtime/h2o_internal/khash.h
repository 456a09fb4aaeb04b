/* libh2o's development package ships http2_internal.h but not the khash.h it includes. There it stands behind one pointer, which we never follow, and in one
 * inline function, which we never call: so the names are enough. */
#pragma once

typedef unsigned khiter_t;

#define khash_t(name) void
#define KHASH_MAP_INIT_INT64(name, type)
#define kh_get(name, table, key) ((void)(table), (void)(key), 0u)
#define kh_end(table) ((void)(table), 0u)
#define kh_val(table, iter) ((void)(table), (void)(iter), NULL)
