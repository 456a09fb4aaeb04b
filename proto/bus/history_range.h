/* One XRANGE or XREVRANGE and its answer; history.h says which are sent, and when. */
#pragma once

#include "proto/position.h"
#include "runtime/redis/redis.h"

struct history_entry {
    struct position at; /* the stream entry's id */
    struct slice payload; /* the message as published, for message_decode(); {NULL, 0} if the entry is not ours */
};

struct history_range {
    struct slice channel;
    struct position from; /* not included */
    bool backwards;
    size_t count; /* of entries, at most */
};

struct history_answer {
    const struct history_entry *entries; /* oldest first; NULL on failure */
    size_t count;
    size_t bytes; /* of the answer, about */
    const char *why; /* of a failure */
    bool lost; /* the connection went before the answer came */
};

/* What the sentence of a failure tells. */
enum history_fault {
    HISTORY_UNREAD, /* nothing about this channel: it may be read later, or elsewhere */
    HISTORY_FORBIDDEN, /* the user has no right to this one */
    HISTORY_UNUSABLE, /* its key holds something else */
    HISTORY_DEADLY, /* Redis closes the connection over it, for whatever is read there next: it is left alone for a while */
};
enum history_fault history_fault(const char *why);

/* The sentence of HISTORY_DEADLY. */
extern const char history_deadly[];

/* Called once. `answer` and what it holds die after the call. */
typedef void (*history_range_cb)(void *data, const struct history_answer *answer);

/* False: not sent, no call. */
bool history_range_send(struct redis *redis, const struct history_range *range, history_range_cb cb, void *data)
    __attribute__((warn_unused_result));
