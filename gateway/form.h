/* What a stream gets of an event, by the route and the parameters that it was asked for with. Frames come from the bus in the lean form; the others are made on
 * demand, once for an event and a worker. Any thread. */
#pragma once

#include "gateway/frame.h"

enum form {
    FORM_LEAN, /* as it is: an event and a retry line only where the publisher set one */
    FORM_FULL, /* an event line always, and a retry line in each durable event: the four routes of version 1 */
    FORM_JSON, /* a member of an answer's list of events, and a comma; of a gap and the like the id alone. frame_id() is the JSON string */
    FORM_ENVELOPE, /* an unnamed event, its data the object {"channel":…,"event":…,"data":…} */
};

/* The streams of one variant get the same bytes. */
struct variant {
    enum form form;
    bool several; /* channels in one stream */
    bool gap_closes; /* the stream ends where others get the event "gap" */
};

static inline bool variant_eq(struct variant a, struct variant b)
{
    return a.form == b.form && a.several == b.several && a.gap_closes == b.gap_closes;
}

/* Whether it gets each frame as it came. */
static inline bool variant_is_plain(struct variant variant)
{
    return variant.form == FORM_LEAN && !variant.several;
}

/* The longest reconnect time that one channel's author may give to a stream of several channels: it counts for the others, too. */
enum { FORM_RETRY_SHARED_MAX_MS = 60000 };

/* The one event of `frame`, of this channel, for this variant; for a stream of several channels that may leave the id out: `settled` false. A reference for the caller,
 * to the frame itself where nothing is to be changed. */
struct frame *form_frame(struct frame *frame, struct slice channel, struct variant variant, bool settled);
