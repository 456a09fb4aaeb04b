/* The one place that includes libh2o, with the settings it was built with: the evloop library, never libuv (struct layouts differ). */
#pragma once

#if !defined(H2O_USE_LIBUV) || H2O_USE_LIBUV != 0
#error "build with -DH2O_USE_LIBUV=0: libh2o-evloop is linked"
#endif

#include <h2o.h>
#include <h2o/http1.h>
#include <h2o/http2.h>

#include "runtime/slice.h"

/* Takes the first out of a list that is not empty. */
static inline h2o_linklist_t *list_take(h2o_linklist_t *list)
{
    h2o_linklist_t *first = list->next;
    h2o_linklist_unlink(first);
    return first;
}

static inline struct slice slice_of_iovec(h2o_iovec_t v)
{
    return (struct slice){v.base, v.len};
}

static inline h2o_iovec_t iovec_of_slice(struct slice s)
{
    return h2o_iovec_init(s.p, s.n);
}
