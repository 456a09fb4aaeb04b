#include "gateway/outbox.h"

#include <stdlib.h>

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

void outbox_open(h2o_linklist_t *received, h2o_linklist_t *messages)
{
    while (!h2o_linklist_is_empty(received)) {
        struct parcel *parcel = H2O_STRUCT_FROM_MEMBER(struct parcel, super.link, received->next);
        h2o_linklist_unlink(&parcel->super.link);
        h2o_linklist_insert_list(messages, &parcel->messages);
        free(parcel);
    }
}
