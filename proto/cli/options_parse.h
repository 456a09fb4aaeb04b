/* Reads the command line and the environment. */
#pragma once

#include "proto/cli/options.h"

/* Fills *options, or prints what was asked for and exits with 0, or says in one sentence what is wrong and exits with 2. */
void options_parse(struct options *options, int argc, char **argv);
