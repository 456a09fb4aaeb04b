/* sse-cli bench: streams that are opened, events that are published to them, and what arrived. */
#pragma once

#include "proto/cli/options.h"

/* Returns the exit status: 0 when nothing was lost. */
int bench_run(const struct options *options);
