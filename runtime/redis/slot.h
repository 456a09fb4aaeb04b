/* The hash slots of Redis Cluster. https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ */
#pragma once

#include <stdint.h>

#include "runtime/slice.h"

enum { SLOTS = 16384 };

/* The slot of a key or of a sharded pub/sub channel: of what stands between its first '{' and the next '}', if that is not empty. */
uint16_t slot_of(struct slice key);
