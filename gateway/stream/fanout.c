#include "gateway/stream/fanout.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "gateway/stream/transport.h"

enum {
    CACHE_LINE = 64,
    NEAR = 3, /* streams that look_ahead() is ahead by */
    FAR = 7,
    FURTHEST = 11,
    LARGE = 65536, /* bytes of a frame */
    QUEUE_COST = 4, /* of a stream that is written after the walk: a slice of them must still be in the core's cache then */
};

static void move_entry(struct fanout *fanout, uint32_t from, uint32_t to)
{
    fanout->entries[to] = fanout->entries[from];
    fanout->entries[to].member->index = to;
}

void fanout_add(struct member *member)
{
    struct fanout *fanout = member->fanout;
    if (fanout->count == fanout->capacity) {
        fanout->capacity = fanout->capacity == 0 ? 1 : fanout->capacity * 2;
        fanout->entries = h2o_mem_realloc(fanout->entries, fanout->capacity * sizeof(*fanout->entries));
    }
    member->index = fanout->count++;
    fanout->entries[member->index] = (struct fanout_entry){TRANSPORT_QUEUE, member};
}

/* Fills the hole from the end; during a fan-out in two steps, so that what was served stays before the cursor and the rest behind it. When nothing is behind
 * the cursor, its entry is the last one too, and has moved already. */
void fanout_remove(struct member *member)
{
    struct fanout *fanout = member->fanout;
    uint32_t hole = member->index;
    if (hole == MEMBER_OUT)
        return;
    if (hole < fanout->cursor) {
        move_entry(fanout, --fanout->cursor, hole);
        hole = fanout->cursor;
    }
    if (--fanout->count != hole)
        move_entry(fanout, fanout->count, hole);
    member->index = MEMBER_OUT;
}

void fanout_set_fd(const struct subscriber *subscriber, int fd)
{
    for (const struct member *member = subscriber->members; member != subscriber->members + subscriber->member_count; ++member)
        if (member->index != MEMBER_OUT)
            member->fanout->entries[member->index].fd = fd;
}

/* True when the stream's socket took it all. What is large is written in later turns, a few streams in each: the events of other channels, which wait behind this one, do not wait for
 * the kernel to copy it for each stream. */
static bool serve(const struct fanout_entry *entry, struct frame *frame, struct slice chunk)
{
    if (chunk.n > LARGE && entry->fd != TRANSPORT_QUEUE) {
        subscriber_push_later(entry->member->subscriber, frame);
        return false;
    }
    if (entry->fd >= 0) {
        ssize_t sent = send(entry->fd, chunk.p, chunk.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        return sent == (ssize_t)chunk.n || subscriber_sent(entry->member->subscriber, frame, sent);
    }
    struct subscriber *subscriber = entry->member->subscriber;
    if (entry->fd == TRANSPORT_SEND)
        return subscriber->transport->send(subscriber, frame);
    subscriber_push(subscriber, frame);
    return false;
}

/* A multiplexed stream costs mostly the waiting for its memory, some fifteen cache lines along a chain of pointers: asked for in time, a fifth less. */
static void look_ahead(const struct fanout *fanout)
{
    const struct fanout_entry *next = &fanout->entries[fanout->cursor];
    if (fanout->cursor + FURTHEST >= fanout->count || next->fd != TRANSPORT_QUEUE)
        return;
    /* right for the streams of a single channel, harmless for others */
    const char *subscriber = (const char *)H2O_STRUCT_FROM_MEMBER(struct subscriber, members, next[FURTHEST].member);
    for (size_t at = 0; at < sizeof(struct subscriber); at += CACHE_LINE)
        __builtin_prefetch(subscriber + at);
    const struct subscriber *far = next[FAR].member->subscriber, *near = next[NEAR].member->subscriber;
    __builtin_prefetch(far->h2);
    __builtin_prefetch(far->queue.frames);
    near->transport->prefetch(near);
}

/* Whether the next stream shares its connection with the one just served: its bytes then leave in the same write, unless the loop turns in between. */
static bool goes_along(const struct fanout *fanout)
{
    const struct fanout_entry *next = &fanout->entries[fanout->cursor];
    if (fanout->cursor == 0 || next[-1].fd != TRANSPORT_QUEUE || next->fd != TRANSPORT_QUEUE)
        return false;
    const struct subscriber *before = next[-1].member->subscriber, *subscriber = next->member->subscriber;
    const void *connection = before->transport->connection(before);
    return connection != NULL && connection == subscriber->transport->connection(subscriber);
}

static void spend(uint32_t *budget, uint32_t cost)
{
    *budget -= *budget < cost ? *budget : cost;
}

bool fanout_serve(struct fanout *fanout, struct frame *frame, uint32_t *budget)
{
    struct slice chunk = frame_chunk(frame);
    uint32_t served = 0, direct = 0;
    for (; fanout->cursor < fanout->count && (*budget != 0 || goes_along(fanout)); ++served) {
        const struct fanout_entry *entry = &fanout->entries[fanout->cursor++];
        spend(budget, entry->fd == TRANSPORT_QUEUE ? QUEUE_COST : 1);
        look_ahead(fanout);
        direct += serve(entry, frame, chunk);
    }
    metric_add(COUNT_EVENTS_OUT, (int64_t)served * frame->events);
    metric_add(COUNT_BYTES_OUT, (int64_t)direct * frame->body);
    if (fanout->cursor < fanout->count)
        return false;
    fanout->cursor = 0;
    return true;
}

void fanout_dispose(struct fanout *fanout)
{
    free(fanout->entries);
}
