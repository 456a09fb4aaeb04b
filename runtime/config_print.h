/* What config_main() prints: the pages made from a program's table. All of it goes to stdout. */
#pragma once

#include "runtime/config.h"

/* Text that breaks at spaces, at most 100 columns wide, and a line break; its first line begins at column `indent` already. */
void config_print_wrapped(const char *text, size_t indent);

/* --help, at most 100 columns wide. */
void config_print_help(const struct config_table *table);

/* --print-settings: the table of deploy/settings.md. */
void config_print_settings(const struct config_table *table);

/* --print-config: NAME=value lines, secrets as ***. */
void config_print_values(const struct config_table *table, const void *settings);
