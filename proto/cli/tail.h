/* sse-cli tail: one stream, read over as many connections as it takes. */
#pragma once

#include "proto/cli/options.h"

/* Returns the exit status. */
int tail_run(const struct options *options);
