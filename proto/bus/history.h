/* Reading channels' histories from their Redis streams over one command connection.
 *
 * The bytes of answers under way are bounded: reads wait in a queue that is fair between channels, and each asks for as many entries as its channel's are expected to
 * fill one answer of moderate size. So an answer may hold fewer entries than were asked for; `more` tells whether the history goes on. */
#pragma once

#include "proto/bus/history_range.h"

/* entries are oldest first, each after the one before it and at most as many as were asked for, and die after the callback. more: others may follow (read
 * backwards: precede) them. On failure entries is NULL and `why` a sentence; an absent stream is 0 entries, without more. */
typedef void (*history_cb)(void *data, const struct history_entry *entries, size_t count, bool more, const char *why);

struct history; /* of one connection */
struct history_read; /* that waits or is under way; goes with its callback */

/* Bounds of what is under way over one connection. */
enum {
    HISTORY_WINDOW_BYTES = 1 << 20, /* by estimate; an entry that is larger is read alone */
    HISTORY_WINDOW_ENTRIES = 128, /* since an estimate may be wrong: of all reads together, and half of it of each */
    HISTORY_ANSWER_BYTES = 256 << 10, /* of one answer, by estimate */
};

struct history *history_open(struct redis *redis);

/* After redis_close(), so nothing waits. */
void history_close(struct history *history);

/* The oldest entries after `after`, not including it, `limit` at most. NULL: not connected, or the channel is left alone; no call. */
struct history_read *history_after(struct history *history, struct slice channel, struct position after, size_t limit,
                                   history_cb cb, void *data) __attribute__((warn_unused_result));

/* The newest entries before `before`, not including it; POSITION_MAX: of all. */
struct history_read *history_before(struct history *history, struct slice channel, struct position before, size_t limit,
                                    history_cb cb, void *data) __attribute__((warn_unused_result));

/* A channel that is HISTORY_DEADLY for the moment: the sentence, else NULL. */
const char *history_left_alone(const struct history *history, struct slice channel);

/* Bytes of an entry of this channel, about: what was seen lately, or a guess. */
size_t history_entry_size(const struct history *history, struct slice channel);

/* Moves a waiting read to the front of its channel's queue: for reads that many wait for. */
void history_hurry(struct history_read *read);

/* Cancels the read: it is not sent if it was not yet, and its callback does not run. */
void history_cancel(struct history_read *read);
