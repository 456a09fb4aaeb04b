/* The hash slots of Redis Cluster. https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ */
#pragma once

#include <stdint.h>

#include "proto/slice.h"

enum { SLOTS = 16384 };

/* The slot that the channel's pub/sub channel "sse:NAME", its history and its other keys share. No '{' stands in a name. */
uint16_t slot_of(struct slice channel);
