#include "proto/cli/lines.h"

#include <stdio.h>

static void drop_break(struct buffer *out)
{
    if (out->n == 0 || out->p[out->n - 1] != '\n')
        return;
    --out->n;
    if (out->n != 0 && out->p[out->n - 1] == '\r')
        --out->n;
}

static enum lines outcome(struct buffer *out, bool fits)
{
    if (!fits)
        return LINES_TOO_LONG;
    return ferror(stdin) ? LINES_BROKEN : out->n == 0 && feof(stdin) ? LINES_END : LINES_GOT;
}

enum lines lines_next(struct buffer *out)
{
    char piece[16384];
    bool fits = true, ended = false;
    buffer_clear(out);
    while (fits && !ended) {
        size_t n = 0;
        for (int byte; n != sizeof(piece) && !ended && (byte = getc_unlocked(stdin)) != EOF;) {
            piece[n++] = (char)byte;
            ended = byte == '\n';
        }
        fits = buffer_add(out, slice_make(piece, n), LINES_MAX);
        ended = ended || n == 0;
    }
    enum lines result = outcome(out, fits);
    drop_break(out);
    return result;
}

enum lines lines_all(struct buffer *out)
{
    char piece[16384];
    bool fits = true;
    buffer_clear(out);
    for (size_t n; fits && (n = fread(piece, 1, sizeof(piece), stdin)) != 0;)
        fits = buffer_add(out, slice_make(piece, n), LINES_MAX);
    if (fits && !ferror(stdin)) {
        drop_break(out);
        return LINES_GOT;
    }
    return outcome(out, fits);
}
