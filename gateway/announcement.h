/* What this gateway announces of itself to all nodes, and who wants to hear the others: the two ends of /status. Main thread only. */
#pragma once

#include "gateway/gateway.h"

/* With STATUS_MS: the handlers of the admin port; before its context is made. */
void announcement_register(struct gateway *gateway);

/* From now on, every STATUS_MS; once the feed is there. */
void announcement_start(struct gateway *gateway);
