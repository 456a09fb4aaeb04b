/* What the publisher asks of an event, field by field, of a whole one. */
#pragma once

#include "proto/event.h"

/* NULL, or a static sentence. */
static inline const char *event_check(const struct event *event)
{
    const char *why = event_check_type(event->type);
    if (why == NULL)
        why = event_check_id(event->id);
    if (why == NULL && event->retry_ms != EVENT_RETRY_NONE && (event->retry_ms < 0 || event->retry_ms > EVENT_RETRY_MAX))
        why = "retry is not an integer from 0 to 3600000";
    return why;
}
