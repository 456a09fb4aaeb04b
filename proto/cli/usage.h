/* Prints the texts made from the tables of options and commands, on stdout. */
#pragma once

#include "proto/cli/options.h"

/* --help without a command: what there is. */
void usage_print(void);

/* --help of one command. */
void usage_print_command(enum command command);

/* --print-options: a line for each command and, behind it, for each of its options, "command TAB option TAB argument TAB text", for the manual page and the
 * completion. */
void usage_print_options(void);

void usage_print_version(void);
