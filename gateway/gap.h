/* The event that tells a stream that something is gone for good. */
#pragma once

#include "gateway/frame.h"

/* An event of type "gap" whose data is {"channel":NAME,"last_event_id":ID}: everything after ID that the history no longer holds was missed.
 * It carries no id, so the client's position stays what it was. */
struct frame *gap_frame(struct slice channel, struct slice last_event_id);
