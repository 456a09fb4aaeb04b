/* What a stream that opens gets of the past: finds the place its last event id stands for in each of its channels, and hands out what follows, page
 * by page, so that a long history is paced by the client's own reading. Bus thread only. */
#pragma once

#include "gateway/feed/replay_state.h"

/* A fresh stream that is answered no later than this after it asked has not had its head before (see heads.h). */
enum { REPLAY_HEAD_MS = 700 };

/* Begins the replay of a request, whose channels are found. `on_read(data)` is called when a read of its own has ended. */
struct replay *replay_create(const struct feed_request *request, const struct channel_shared *shared, void (*on_read)(void *data),
                             void *data);

/* Whether it waits for a read of its own. */
bool replay_reading(const struct replay *replay);

/* Lets go what it has read and waits for: before a long wait. */
void replay_abandon(struct replay *replay);

/* Likewise, for good. */
void replay_free(struct replay *replay);

/* One step on the way to the next page. */
enum replay_need replay_prepare(struct replay *replay, struct channel **wait_at);

/* After REPLAY_REFUSED. */
enum history_fault replay_fault(const struct replay *replay);

/* Fills update->page's frames and the id of the place before them. True when these are the last before live: what comes on the worker's queue behind this
 * update follows with nothing missing and nothing twice. False: there is more. */
bool replay_page(struct replay *replay, struct feed_update *update);
