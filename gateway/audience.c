#include "gateway/audience.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "gateway/transport.h"

enum {
    CACHE_LINE = 64,
    NEAR = 3, /* streams that look_ahead() is ahead by */
    FAR = 7,
    FURTHEST = 11,
    QUEUE_COST = 4, /* of a stream that is written after the walk: a slice of them must still be in the core's cache then */
};

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
    audience->entries[member->index] = (struct audience_entry){TRANSPORT_QUEUE, member};
    audience->shared += member->subscriber->member_count > 1;
}

/* Fills the hole from the end; during a fan-out in two steps, so that what was served stays before the cursor and the rest behind it. When nothing is behind
 * the cursor, its entry is the last one too, and has moved already. */
void audience_remove(struct audience *audience, struct member *member)
{
    uint32_t hole = member->index;
    if (hole == MEMBER_OUT)
        return;
    if (hole < audience->cursor) {
        move_entry(audience, --audience->cursor, hole);
        hole = audience->cursor;
    }
    if (--audience->count != hole)
        move_entry(audience, audience->count, hole);
    audience->shared -= member->subscriber->member_count > 1;
    member->index = MEMBER_OUT;
}

/* True when the stream's socket took it all. */
static bool serve(const struct audience_entry *entry, struct frame *frame, struct slice chunk)
{
    if (entry->fd >= 0) {
        ssize_t sent = send(entry->fd, chunk.p, chunk.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        return sent == (ssize_t)chunk.n || transport_sent(entry->member->subscriber, frame, sent);
    }
    struct subscriber *subscriber = entry->member->subscriber;
    if (entry->fd == TRANSPORT_SEND)
        return transport_send(subscriber, frame);
    subscriber_push(subscriber, frame);
    return false;
}

/* A multiplexed stream costs mostly the waiting for its memory, some fifteen cache lines along a chain of pointers: asked for in time, a fifth less. */
static void look_ahead(const struct audience *audience)
{
    const struct audience_entry *next = &audience->entries[audience->cursor];
    if (audience->cursor + FURTHEST >= audience->count || next->fd != TRANSPORT_QUEUE)
        return;
    /* right for the streams of a single channel, harmless for others */
    const char *subscriber = (const char *)H2O_STRUCT_FROM_MEMBER(struct subscriber, members, next[FURTHEST].member);
    for (size_t at = 0; at < sizeof(struct subscriber); at += CACHE_LINE)
        __builtin_prefetch(subscriber + at);
    transport_prefetch(next[FAR].member->subscriber, TRANSPORT_FAR);
    transport_prefetch(next[NEAR].member->subscriber, TRANSPORT_NEAR);
}

/* As serve() when streams of several channels get `bare` instead. */
static void serve_apart(const struct audience_entry *entry, struct frame *frame, struct frame *bare)
{
    struct subscriber *subscriber = entry->member->subscriber;
    subscriber_push(subscriber, subscriber->member_count > 1 ? bare : frame);
}

/* Whether the next stream shares its connection with the one just served: its bytes then leave in the same write, unless the loop turns in between. */
static bool goes_along(const struct audience *audience)
{
    const struct audience_entry *next = &audience->entries[audience->cursor];
    if (audience->cursor == 0 || next[-1].fd != TRANSPORT_QUEUE || next->fd != TRANSPORT_QUEUE)
        return false;
    const void *connection = transport_connection(next[-1].member->subscriber);
    return connection != NULL && connection == transport_connection(next->member->subscriber);
}

static void spend(uint32_t *budget, uint32_t cost)
{
    *budget -= *budget < cost ? *budget : cost;
}

bool audience_serve(struct audience *audience, struct frame *frame, struct frame *bare, uint32_t *budget)
{
    struct slice chunk = frame_chunk(frame);
    uint32_t served = 0, direct = 0;
    for (; audience->cursor < audience->count && (*budget != 0 || goes_along(audience)); ++served) {
        const struct audience_entry *entry = &audience->entries[audience->cursor++];
        spend(budget, entry->fd == TRANSPORT_QUEUE ? QUEUE_COST : 1);
        look_ahead(audience);
        if (bare != NULL)
            serve_apart(entry, frame, bare);
        else
            direct += serve(entry, frame, chunk);
    }
    metric_add(COUNT_EVENTS_OUT, (int64_t)served * frame->events);
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
