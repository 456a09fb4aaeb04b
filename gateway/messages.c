#include "gateway/messages.h"

#include <stdlib.h>

/* ---- worker to feed ---- */

struct feed_request *feed_request_create(uint32_t count)
{
    size_t size = sizeof(struct feed_request) + count * sizeof(struct requested_channel);
    struct feed_request *request = h2o_mem_alloc(size);
    memset(request, 0, size);
    request->count = count;
    atomic_init(&request->holders, 1);
    return request;
}

struct feed_request *feed_request_hold(struct feed_request *request)
{
    atomic_fetch_add_explicit(&request->holders, 1, memory_order_relaxed);
    return request;
}

void feed_request_free(struct feed_request *request)
{
    if (atomic_fetch_sub_explicit(&request->holders, 1, memory_order_acq_rel) != 1)
        return;
    free(request->resume_id);
    free(request);
}

/* ---- feed to worker ---- */

void feed_update_free(struct feed_update *update)
{
    if (update->request != NULL)
        feed_request_free(update->request);
    if (update->kind == UPDATE_EVENT) {
        frame_unref(update->event.frame);
    } else if (update->kind == UPDATE_PAGE || update->kind == UPDATE_WELCOME) {
        for (uint32_t i = 0; i < update->page.count; ++i)
            frame_unref(update->page.frames[i]);
        free(update->page.frames);
    }
    free(update);
}

/* ---- the way there ---- */

struct parcel {
    h2o_multithread_message_t super;
    h2o_linklist_t messages;
};

void outbox_put(struct outbox *outbox, h2o_multithread_message_t *message)
{
    if (outbox->parcel == NULL) {
        outbox->parcel = h2o_mem_alloc(sizeof(*outbox->parcel));
        outbox->parcel->super = (h2o_multithread_message_t){{NULL, NULL}};
        h2o_linklist_init_anchor(&outbox->parcel->messages);
    }
    h2o_linklist_insert(&outbox->parcel->messages, &message->link);
}

bool outbox_send(struct outbox *outbox)
{
    struct parcel *parcel = outbox->parcel;
    if (parcel == NULL)
        return false;
    outbox->parcel = NULL;
    if (outbox->local) {
        h2o_linklist_t received;
        h2o_linklist_init_anchor(&received);
        h2o_linklist_insert(&received, &parcel->super.link);
        outbox->to->cb(outbox->to, &received);
    } else {
        h2o_multithread_send_message(outbox->to, &parcel->super);
    }
    return true;
}

void outbox_unpack(h2o_linklist_t *received, h2o_linklist_t *messages)
{
    while (!h2o_linklist_is_empty(received)) {
        struct parcel *parcel = H2O_STRUCT_FROM_MEMBER(struct parcel, super.link, list_take(received));
        h2o_linklist_insert_list(messages, &parcel->messages);
        free(parcel);
    }
}
