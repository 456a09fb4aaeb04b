/* The event that tells a stream that something is gone for good. */
#pragma once

#include "gateway/frame.h"

/* Why events are gone: one value, one counter. */
enum gap_cause {
    GAP_UNKNOWN_ID, /* the client's id stands for no place here */
    GAP_TRIMMED, /* the history begins later than the client's place */
    GAP_VANISHED, /* … has nothing any more that says what is missing: it expired, was deleted or evicted, or Redis lost it */
    GAP_WHILE_OPEN, /* an open stream missed them, and the history does not have them */
    GAP_CAUSES,
};

/* … in /metrics and in the log. */
#define GAP_UNKNOWN_ID_TEXT "unknown id"
#define GAP_TRIMMED_TEXT "history trimmed"
#define GAP_VANISHED_TEXT "history vanished"
#define GAP_WHILE_OPEN_TEXT "while open"

/* Counts and logs it, and makes the event of type "gap" whose data is {"channel":NAME,"last_event_id":ID}: what followed ID was missed. `own_id` is the place from where a client that reconnects goes on; {NULL, 0}: none
 * is given, so that it comes back to where it was. `at`: where it is sorted among events. */
struct frame *gap_frame(struct slice channel, struct slice last_event_id, struct slice own_id, struct position at,
                        enum gap_cause cause);
