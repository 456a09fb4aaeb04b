#include "proto/cli/batch.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "proto/cli/stop.h"
#include "runtime/monotonic.h"

enum { BYTES = 256 << 10, GATHER_MS = 10, NO_LIMIT = INT32_MAX };

void batch_quote(struct buffer *out, struct slice text)
{
    size_t from = 0;
    buffer_add(out, SLICE("\""), NO_LIMIT);
    for (size_t i = 0; i != text.n; ++i) {
        unsigned char byte = (unsigned char)text.p[i];
        if (byte >= 0x20 && byte != '"' && byte != '\\')
            continue;
        buffer_add(out, slice_make(text.p + from, i - from), NO_LIMIT);
        buffer_print(out, "\\u%04x", byte);
        from = i + 1;
    }
    buffer_add(out, slice_from(text, from), NO_LIMIT);
    buffer_add(out, SLICE("\""), NO_LIMIT);
}

static bool is_blank(struct slice line)
{
    return slice_trim(line).n == 0;
}

static void write_line(struct batch *batch, struct slice line)
{
    if (batch->objects) {
        buffer_add(&batch->body, line, NO_LIMIT);
    } else {
        buffer_print(&batch->body, "{\"data\":");
        batch_quote(&batch->body, line);
        buffer_add(&batch->body, buffer_slice(&batch->members), NO_LIMIT);
        buffer_print(&batch->body, "}");
    }
    buffer_print(&batch->body, "\n");
}

/* False when there is no room for it beside the others. */
static bool add_line(struct batch *batch, struct slice line)
{
    size_t before = batch->body.n;
    write_line(batch, line);
    if (before != 0 && batch->body.n > BYTES) {
        batch->body.n = before;
        return false;
    }
    ++batch->last;
    batch->events += !batch->objects || !is_blank(line);
    return true;
}

/* The next line that is there as a whole; *size with its break, LF or CRLF. At the end of the input what is left is one, too. */
static bool find_line(struct batch *batch, struct slice *line, size_t *size)
{
    struct slice rest = slice_from(buffer_slice(&batch->input), batch->taken);
    size_t known = batch->searched - batch->taken;
    const char *end = rest.n == known ? NULL : memchr(rest.p + known, '\n', rest.n - known);
    batch->searched = batch->input.n;
    if (end == NULL && (!batch->ended || rest.n == 0))
        return false;
    *line = slice_make(rest.p, end == NULL ? rest.n : (size_t)(end - rest.p));
    *size = line->n + (end != NULL);
    if (end != NULL && line->n != 0 && line->p[line->n - 1] == '\r')
        --line->n;
    return true;
}

/* Takes lines until the batch is full, and then returns true, or until no whole one is left. */
static bool fill(struct batch *batch)
{
    struct slice line;
    size_t size;
    while (batch->last + 1 - batch->first < BATCH_LINES_MAX) {
        if (!find_line(batch, &line, &size))
            return batch->body.n >= BYTES;
        if (!add_line(batch, line)) {
            batch->searched = batch->taken;
            return true;
        }
        batch->searched = batch->taken += size;
    }
    return true;
}

/* Reads what is there. */
static enum lines read_input(struct batch *batch)
{
    char piece[65536];
    ssize_t n = read(STDIN_FILENO, piece, sizeof(piece));
    if (n < 0)
        return errno == EAGAIN || (errno == EINTR && !stop_asked()) ? LINES_GOT : LINES_BROKEN;
    batch->ended = n == 0;
    batch->input.n -= batch->taken;
    batch->searched -= batch->taken;
    if (batch->taken != 0)
        memmove(batch->input.p, batch->input.p + batch->taken, batch->input.n);
    batch->taken = 0;
    return buffer_add(&batch->input, slice_make(piece, (size_t)n), LINES_MAX) ? LINES_GOT : LINES_TOO_LONG;
}

/* Waits up to `ms` for more, -1: as long as it takes; *more: there is some. */
static enum lines wait_for_input(struct batch *batch, int ms, bool *more)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = stop_fd(), .events = POLLIN}};
    int n = poll(fds, 2, ms);
    *more = n != 0;
    if (stop_asked() || (n < 0 && errno != EINTR))
        return LINES_BROKEN;
    return n > 0 && fds[0].revents != 0 ? read_input(batch) : LINES_GOT;
}

/* How long others may still join it. */
static int patience(const struct batch *batch, uint64_t until_ms)
{
    uint64_t now = monotonic_ms();
    if (batch->events == 0 || batch->patient)
        return -1;
    return now < until_ms ? (int)(until_ms - now) : 0;
}

static void start(struct batch *batch)
{
    buffer_clear(&batch->body);
    batch->first = batch->last + 1;
    batch->events = 0;
}

enum lines batch_next(struct batch *batch)
{
    uint64_t until_ms = 0;
    start(batch);
    for (;;) {
        bool more = true, full = fill(batch);
        if (batch->events != 0 && (full || batch->ended))
            return LINES_GOT;
        if (batch->ended && !full)
            return LINES_END;
        if (full) {
            start(batch); /* only blank lines */
            continue;
        }
        if (batch->events != 0 && until_ms == 0)
            until_ms = monotonic_ms() + GATHER_MS;
        enum lines outcome = wait_for_input(batch, patience(batch, until_ms), &more);
        if (outcome != LINES_GOT || !more)
            return outcome;
    }
}

void batch_free(struct batch *batch)
{
    buffer_free(&batch->members);
    buffer_free(&batch->body);
    buffer_free(&batch->input);
}
