/* What the table of options can't say: values that depend on each other, on the environment or on a grammar. */
#pragma once

#include "proto/cli/options.h"

/* Completes *options from the environment and the token's file; what is wrong goes to options_fault(). */
void option_check(struct options *options);
