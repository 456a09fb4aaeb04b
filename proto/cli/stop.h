/* SIGINT and SIGTERM as something to wait for. The second one ends the process as if nobody listened. */
#pragma once

#include <stdbool.h>

void stop_init(void);

/* Readable from the first signal on. */
int stop_fd(void);

bool stop_asked(void);
