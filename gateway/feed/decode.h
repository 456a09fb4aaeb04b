/* What the bus brings, as frames. What is not one of our messages is counted and logged. `channel`: its name, for the log. */
#pragma once

#include "gateway/frame.h"
#include "proto/bus/history.h"
#include "proto/message.h"

/* Decodes a message of pub/sub into frames: one, or those of a batch, in order. Returns how many. 0: the message is malformed; a batch is dropped as a whole. The caller gets the references. */
size_t payload_frames(struct frame *frames[MESSAGE_BATCH_MAX], struct slice channel, struct slice payload);

/* NULL where it is none of our events. An entry that is nobody's event is not counted. */
struct frame *payload_entry_frame(struct slice channel, const struct history_entry *entry);

/* Whether the entry is an event: a message that says where it stands. What somebody added by hand is none. */
bool payload_is_event(const struct history_entry *entry, struct message *message);

/* Counts and logs one that is not handed on. */
void payload_dropped(struct slice channel, const char *why);
