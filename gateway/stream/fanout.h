/* The streams of one channel on one worker that get the same bytes: a compact array, and the fan-out over it. A stream that has nothing queued and a plain HTTP/1.1 socket is
 * written to straight from the walk: one send(2), nothing allocated, counted or even read of the stream itself. One over TLS is written to by its transport;
 * all others take the way through their queue. */
#pragma once

#include "gateway/form.h"
#include "gateway/stream/subscriber.h"

struct hub_channel;

/* One stream in the array. fd is the short cut: its socket, or TRANSPORT_SEND or TRANSPORT_QUEUE. */
struct fanout_entry {
    int fd;
    struct member *member;
};

struct fanout {
    struct hub_channel *channel; /* whose it is */
    struct fanout *next; /* of the same channel, for streams of another variant; NULL: the last one */
    struct variant variant;
    struct fanout_entry *entries;
    uint32_t capacity, count;
    uint32_t cursor; /* of the fan-out that is under way: entries before it are done */
    uint64_t active_ms; /* when an event last went out */
};

/* The variant of a stream is that of its members, which is one for all. */
static inline struct variant subscriber_variant(const struct subscriber *subscriber)
{
    return subscriber->members[0].fanout->variant;
}

/* In and out of the array of member->fanout, as member->index tells. Removing is safe in the middle of a fan-out: each remaining stream is still served once. */
void fanout_add(struct member *member);
void fanout_remove(struct member *member);

/* Sets the short cut of a stream in all arrays that it is in. */
void fanout_set_fd(const struct subscriber *subscriber, int fd);

/* When something was last written to this stream, by a fan-out or its own queue: milliseconds of the loop's clock. */
static inline uint64_t fanout_active(const struct subscriber *subscriber)
{
    uint64_t active = subscriber->active_ms;
    for (const struct member *member = subscriber->members; member != subscriber->members + subscriber->member_count; ++member)
        if (member->index != MEMBER_OUT && member->fanout->active_ms > active)
            active = member->fanout->active_ms;
    return active;
}

/* Goes on with the fan-out of `frame` until the budget is spent, one for a stream that is written to at once and more for others, and then to the end of a
 * multiplexed connection; true when all were served. */
bool fanout_serve(struct fanout *fanout, struct frame *frame, uint32_t *budget);

/* Frees the array, which must be empty of members. */
void fanout_dispose(struct fanout *fanout);
