/* Events of one channel that wait for their worker together leave together: joined into one frame, they cost each stream one write. So under load, the
 * further behind the fan-out is, the cheaper it gets. Worker thread only. */
#pragma once

#include "gateway/form.h"
#include "gateway/messages.h"

enum { BATCH_BYTES = 65536, BATCH_EVENTS = 256 }; /* joined at most */

/* A channel's events in the inbox: each knows the next by update->event.next. */
struct batch {
    struct feed_update *tail; /* where the next event is tied on; NULL: it begins a chain of its own */
};

/* An event came into the inbox. */
void batch_append(struct batch *batch, struct feed_update *event);

/* Events that come from now on must not be moved before this point: a stream joins the channel here. */
static inline void batch_seal(struct batch *batch)
{
    batch->tail = NULL;
}

/* Takes the events that leave together with `first` out of the inbox, as far as `max_bytes` allow: they stay tied to it. `shared`: streams of several channels listen, too.
 * To them the order between channels matters: then only neighbours in the inbox leave together. What is not FRAME_EVENT leaves alone. */
void batch_gather(struct batch *batch, struct feed_update *first, bool shared, size_t max_bytes);

/* What streams of this variant get of all that was gathered, as one frame; a reference for the caller. */
struct frame *batch_frame(const struct feed_update *first, struct slice channel, struct variant variant);

/* Frees what was gathered, but for `first`. */
void batch_free(struct feed_update *first);
