/* The clock that libh2o's timers run by. libh2o 2.2.5 asks gettimeofday() alone, so a clock that is set back by an hour would stop
 * every timer for an hour, and one that is set forward would end every connection. This program defines gettimeofday() anew: the
 * time of day at its start, and from then on what CLOCK_MONOTONIC counts. Only durations may be taken from it. Who wants the time of
 * day (tokens, the log, the Date header) asks clock_gettime(CLOCK_REALTIME). */
#pragma once

/* NULL, or the sentence why the library in this process can't be made to use it; for the start. */
const char *steady_clock_start(void);
