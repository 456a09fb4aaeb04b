/* Reads standard input, whole or line by line. */
#pragma once

#include "proto/cli/buffer.h"

enum { LINES_MAX = 64 << 20 }; /* bytes of a line, and of the whole: what a server takes at most */

enum lines { LINES_GOT, LINES_END, LINES_TOO_LONG, LINES_BROKEN };

/* Reads up to the next line break, which is dropped (LF or CRLF). What stands behind the last one counts as a line, too. LINES_BROKEN: errno says why. */
enum lines lines_next(struct buffer *out);

/* Reads to the end; one line break there is dropped, as `echo` adds one. */
enum lines lines_all(struct buffer *out);
