/* The event that tells a stream that something is gone for good. */
#pragma once

#include "gateway/frame.h"

/* An event of type "gap" whose data is {"channel":NAME,"last_event_id":ID}: what followed ID was missed. `own_id` is the place from where a client that reconnects goes on; {NULL, 0}: none
 * is given, so that it comes back to where it was. `at`: where it is sorted among events. */
struct frame *gap_frame(struct slice channel, struct slice last_event_id, struct slice own_id, struct position at);
