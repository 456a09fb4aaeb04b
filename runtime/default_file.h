/* /etc/default/PROGRAM, which systemd gives to the service as its environment (EnvironmentFile=), and to nobody else. */
#pragma once

/* The value of NAME in that file, malloc'd: lines NAME=VALUE, the last one counts, comments and quotes as systemd takes them. NULL when the
 * file does not set it or cannot be read. */
char *default_file_get(const char *path, const char *name);
