/* The events that the gateway writes itself. Each function but comment_frame() gives a frame with one reference, the caller's. Any thread, except gap_frame(). */
#pragma once

#include "gateway/counters.h"
#include "gateway/frame.h"

/* What a fresh stream begins with. */
enum welcome {
    WELCOME_NOTHING,
    WELCOME_POSITION, /* a frame of only id and retry: no event fires, but the client has a position to resume from */
    WELCOME_LETTER, /* the event {"msg":"a"} with that id */
};

/* The first frame of a fresh stream, with the id that stands for its position; NULL for WELCOME_NOTHING. */
struct frame *welcome_frame(enum welcome welcome, const char *position, int32_t retry_ms);

/* Counts and logs the loss, and makes the event of type "gap" whose data is {"channel":NAME,"last_event_id":ID}: events after ID were missed and are gone
 * for good. Decided in two places: replay.c, with places_find_gap(), for a stream that opens; channel_emit_gap() for open
 * streams. Each channel has its own, also in a stream of several. A client that reconnects resumes from `own_id`; {NULL, 0}: from the id it had before. `at`: where it is sorted among events. Bus thread only. */
struct frame *gap_frame(struct slice channel, struct slice last_event_id, struct slice own_id, struct position at,
                        enum gap_cause cause);

/* The end of a channel that was abandoned: behind the event at this position none came in time. It has no position of its own; its id is of version 8. */
struct frame *abandoned_frame(struct slice channel, struct position at);

/* The event of a channel's end for one stream: with the data `text` and no type where the stream wants that (p not NULL), and under the id `id` where that is not NULL. */
struct frame *end_frame(const struct frame *end, struct slice text, const char *id);

/* The last frame of a stream that the gateway ends: only a retry, so that the client comes back after that many milliseconds. */
struct frame *farewell_frame(int32_t retry_ms);

/* The comment that begins every stream and keeps an idle one alive; no event fires. Borrowed: each thread has its own, so that threads do not share its count. */
struct frame *comment_frame(void);
