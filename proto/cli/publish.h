/* sse-cli publish: events, each acknowledged before the next. */
#pragma once

#include "proto/cli/options.h"

/* Returns the exit status. */
int publish_run(const struct options *options);
