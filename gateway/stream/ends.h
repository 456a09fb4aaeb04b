/* What a stream gets of its channels' ends, and of a page of its replay. A stream is over when each of its channels has ended; until
 * then it is told of an end and goes on. Worker thread only. */
#pragma once

#include "gateway/stream/hub_channel.h"

/* The time of the last of its channels' ends, in milliseconds of Redis's clock; 0: one of them goes on. */
uint64_t ends_over_ms(const struct subscriber *subscriber);

/* Takes over from the answer to the stream's join which of its channels have ended: that is known where the stream goes on behind its
 * replay. */
void ends_note(const struct subscriber *subscriber, const struct feed_request *request);

/* The frame that the stream gets of this channel's end, a reference for the caller. `over_ms`: ends_over_ms() where it is the last
 * frame of the stream, else 0. The last end of several gets an id of that time: with its event's own id, a client would be told the
 * ends of the same millisecond again each time it comes back. The millisecond is not over: a channel may be new again in it.
 * `settled`: the event may show its id. */
struct frame *ends_form(const struct subscriber *subscriber, struct frame *end, const struct hub_channel *channel, uint64_t over_ms,
                        bool settled);

/* Puts the stream's own frames in place of the page's. `over_ms`: as above, for the last frame of the page. The bus thread has left
 * out the ids that must not show, except those of ends that a `fresh` stream of several channels is told: its place is behind them. */
void ends_form_page(const struct subscriber *subscriber, struct feed_update *update, uint64_t over_ms, bool fresh);

/* Takes out the ends that an answer to a request that polls several channels does not tell: all but the last frame where all channels
 * have ended. The id of another end may be behind what the client has, and would bring it events of the other channels again. */
void ends_drop(struct feed_update *update, uint64_t over_ms);
