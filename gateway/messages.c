#include "gateway/messages.h"

#include <stdlib.h>

struct ask *ask_create(uint32_t count)
{
    size_t size = sizeof(struct ask) + count * sizeof(struct ask_channel);
    struct ask *ask = h2o_mem_alloc(size);
    memset(ask, 0, size);
    ask->count = count;
    atomic_init(&ask->holders, 1);
    return ask;
}

struct ask *ask_hold(struct ask *ask)
{
    atomic_fetch_add_explicit(&ask->holders, 1, memory_order_relaxed);
    return ask;
}

void ask_free(struct ask *ask)
{
    if (atomic_fetch_sub_explicit(&ask->holders, 1, memory_order_acq_rel) != 1)
        return;
    free(ask->resume_id);
    free(ask);
}

void tell_free(struct tell *tell)
{
    switch (tell->kind) {
    case TELL_EVENT:
        frame_unref(tell->event.frame);
        break;
    case TELL_PAGE:
    case TELL_WELCOME:
        if (tell->page.ask != NULL)
            ask_free(tell->page.ask);
        for (uint32_t i = 0; i < tell->page.count; ++i)
            frame_unref(tell->page.frames[i]);
        free(tell->page.frames);
        break;
    case TELL_REFUSED:
    case TELL_CHANNEL_REFUSED:
        if (tell->refused.ask != NULL)
            ask_free(tell->refused.ask);
        break;
    case TELL_LEFT:
        ask_free(tell->left);
        break;
    }
    free(tell);
}
