/* The cluster slot of a channel. */
#pragma once

#include "proto/channel.h"
#include "runtime/redis/slot.h"

/* The slot that the channel's pub/sub channel, its history and its other keys share. Trusts channel_check(), or takes a name of the bus's own (channel.h). */
uint16_t channel_slot(struct slice name);
