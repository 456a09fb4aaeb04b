/* What this publisher announces of itself to all nodes, for the gateways' /status. */
#pragma once

#include "runtime/announce.h"

/* Of `options` the caller sets loop, node, interval_ms, the checks and send; the numbers are added here. Main thread. */
void announcement_start(struct announce *announce, struct announce_options options);
