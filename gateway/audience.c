#include "gateway/audience.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

static void move_entry(struct audience *audience, uint32_t from, uint32_t to)
{
    audience->entries[to] = audience->entries[from];
    audience->entries[to].member->index = to;
}

void audience_add(struct audience *audience, struct member *member)
{
    if (audience->count == audience->capacity) {
        audience->capacity = audience->capacity == 0 ? 1 : audience->capacity * 2;
        audience->entries = h2o_mem_realloc(audience->entries, audience->capacity * sizeof(*audience->entries));
    }
    member->index = audience->count++;
    audience->entries[member->index] = (struct audience_entry){-1, member};
}

/* Fills the hole from the end; during a fan-out in two steps, so that what was served stays before the cursor and the rest behind it. */
void audience_remove(struct audience *audience, struct member *member)
{
    uint32_t hole = member->index;
    if (hole == MEMBER_OUT)
        return;
    if (hole < audience->cursor) {
        move_entry(audience, --audience->cursor, hole);
        hole = audience->cursor;
    }
    move_entry(audience, --audience->count, hole);
    member->index = MEMBER_OUT;
}

/* What send(2) did not take whole: the rest goes through the queue. */
static void spill(struct subscriber *subscriber, struct frame *frame, ssize_t sent)
{
    if (sent >= 0)
        subscriber_push_rest(subscriber, frame, (uint32_t)sent);
    else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ENOBUFS)
        subscriber_push(subscriber, frame);
    else
        subscriber_close(subscriber, errno == EPIPE || errno == ECONNRESET ? CLOSE_CLIENT : CLOSE_WRITE_ERROR);
}

bool audience_serve(struct audience *audience, struct frame *frame, struct frame *bare, uint32_t *budget)
{
    struct slice chunk = frame_chunk(frame);
    uint32_t served = 0, direct = 0;
    for (; audience->cursor < audience->count && *budget != 0; --*budget, ++served) {
        struct audience_entry *entry = &audience->entries[audience->cursor++];
        if (bare != NULL || entry->fd < 0) {
            struct subscriber *subscriber = entry->member->subscriber;
            subscriber_push(subscriber, bare != NULL && subscriber->member_count > 1 ? bare : frame);
            continue;
        }
        ssize_t sent = send(entry->fd, chunk.p, chunk.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent == (ssize_t)chunk.n)
            ++direct;
        else
            spill(entry->member->subscriber, frame, sent);
    }
    metric_add(COUNT_EVENTS_OUT, served);
    metric_add(COUNT_BYTES_OUT, (int64_t)direct * frame->body);
    if (audience->cursor < audience->count)
        return false;
    audience->cursor = 0;
    return true;
}

void audience_dispose(struct audience *audience)
{
    free(audience->entries);
}
