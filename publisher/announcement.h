/* What this publisher announces of itself to all nodes, for the gateways' /status. */
#pragma once

#include "publisher/publisher.h"

/* From now on, every STATUS_MS, if that is not 0; once the bus is there. */
void announcement_start(struct publisher *publisher);
