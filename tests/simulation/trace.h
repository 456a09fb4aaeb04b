/* What happens in a world, a line each, when somebody wants to read it: virtual seconds, the thread, the words. */
#pragma once

#include <stdbool.h>

extern bool trace_on;

/* trace(format, ...) */
#define trace(...) (trace_on ? trace_line(__VA_ARGS__) : (void)0)
void trace_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
