/* What a bench found. */
#pragma once

#include "proto/cli/bench_state.h"

/* The line that shows how far it is. */
void bench_report_progress(const struct bench *bench);

/* The result, on stdout: a JSON line, or a small table on a terminal. Returns the exit status: 1 when events were lost or came twice, streams ended, or it was
 * not `complete`. */
int bench_report(const struct bench *bench, bool complete);
