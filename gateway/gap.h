/* The event that tells a stream that something is gone for good. */
#pragma once

#include "gateway/frame.h"

/* An event of type "gap" whose data is {"channel":NAME,"last_event_id":ID}: what followed ID, up to the position `until`, was missed. Its own id is
 * `until` in the channel, so a client that reconnects goes on from there. The frame has that position, so it can be sorted among events. */
struct frame *gap_frame(struct slice channel, struct slice last_event_id, struct position until);
