/* How long to wait before the next try. Pure. */
#pragma once

#include <stdint.h>

enum {
    BACKOFF_MIN_MS = 100, /* also when the server says 0 */
    BACKOFF_FIRST_MS = 1000, /* when the server said nothing */
    BACKOFF_MAX_MS = 30000, /* … also when it says more */
    BACKOFF_AFTER_MAX_MS = 300000, /* of a Retry-After */
};

/* Milliseconds to wait. `retry_ms`: what the stream's `retry:` said, -1 for nothing. `failures`: tries in a row that failed; 0 after a stream that was fine, whose
 * `retry:` is then kept as it stands, as a server that drains spreads its clients by it. Each further failure doubles the wait and takes up to a quarter off by
 * `chance`, any number. `after_s`: a Retry-After in seconds, 0 for none; it is waited for at least. */
int64_t backoff_ms(int64_t retry_ms, unsigned failures, int64_t after_s, uint32_t chance);
