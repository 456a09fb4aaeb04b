/* What the bus brings, as frames: NULL where it is not one of our messages, which is counted and logged. `channel`: its name, for the log. */
#pragma once

#include "gateway/frame.h"
#include "proto/bus/history.h"
#include "proto/message.h"

struct frame *payload_frame(struct slice channel, struct slice payload);

/* An entry that is nobody's event is not counted. */
struct frame *payload_entry_frame(struct slice channel, const struct history_entry *entry);

/* Whether the entry is an event: a message that says where it stands. What somebody added by hand is none. */
bool payload_is_event(const struct history_entry *entry, struct message *message);

/* Counts and logs one that is not handed on. */
void payload_dropped(struct slice channel, const char *why);
