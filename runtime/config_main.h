/* What a program does with its command line. */
#pragma once

#include "runtime/config.h"

/* Handles the command line and the environment for a program, then returns with *settings filled (strings live as long as the process).
 *     healthcheck [--live]: how the running program of these settings is (see healthcheck.h), exit 0 or 1; a setting that the
 *         environment does not have comes from /etc/default/PROGRAM
 *     --help, --version, --print-settings (the rows of deploy/settings.md): printed, exit 0
 *     --print-config: every setting and its value, secrets masked, exit 0; --check-config: exit 0 when the program would start
 *     an unknown argument or a bad setting: die() with one sentence that names it
 * An empty variable counts as unset. */
void config_main(const struct config_table *table, void *settings, int argc, char **argv);
