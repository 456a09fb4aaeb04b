/* The lines of a file, each a header field for a request: what must not stand on a command line, a token say. */
#pragma once

#include <stddef.h>

enum { HEADER_LINE_MAX = 9000 }; /* bytes */

/* Zeroed is empty. */
struct header_file {
    char *text;
    const char **lines;
    size_t count;
};

/* Fails when it can't be read, is empty or holds too long a line. */
void header_file_read(struct header_file *file, const char *path);

/* Line `number`, counted round; "" of an empty one. */
const char *header_file_line(const struct header_file *file, size_t number);

void header_file_dispose(struct header_file *file);
