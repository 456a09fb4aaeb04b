#include "proto/cli/output.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/json.h"
#include "runtime/utf8.h"

#define DIM "\033[2m"
#define BOLD "\033[1;36m"
#define RED "\033[31m"
#define YELLOW "\033[33m"
#define PLAIN "\033[0m"

static struct {
    bool json, quiet, watched, piped;
    bool colour_out, colour_err;
    bool progress; /* a progress line stands on stderr */
    int error; /* errno of the first write that failed */
} output;

static bool may_colour(int fd)
{
    const char *term = getenv("TERM"), *no = getenv("NO_COLOR");
    return isatty(fd) && (no == NULL || no[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

void output_init(bool json, bool quiet)
{
    struct stat about;
    output.json = json || !isatty(STDOUT_FILENO);
    output.quiet = quiet;
    output.watched = isatty(STDERR_FILENO);
    output.piped = fstat(STDOUT_FILENO, &about) == 0 && (S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode));
    output.colour_out = may_colour(STDOUT_FILENO);
    output.colour_err = may_colour(STDERR_FILENO);
}

bool output_is_json(void)
{
    return output.json;
}

bool output_is_watched(void)
{
    return output.watched;
}

static void put_printable(FILE *out, struct slice text, const char *line_break)
{
    while (text.n != 0) {
        size_t n = utf8_length(text.p, text.n);
        if (n == 1 && text.p[0] == '\n' && line_break != NULL)
            fputs(line_break, out);
        else if (n == 0)
            fputs("\xef\xbf\xbd", out);
        else if (utf8_is_control(text.p, n) && text.p[0] != '\t')
            fprintf(out, "\\x%02x", (unsigned char)text.p[n - 1]);
        else
            fwrite(text.p, 1, n, out);
        text = slice_from(text, n == 0 ? 1 : n);
    }
}

static void put_coloured(FILE *out, bool colour, const char *code, struct slice text)
{
    fputs(colour ? code : "", out);
    put_printable(out, text, NULL);
    fputs(colour ? PLAIN : "", out);
}

static void put_json(const char *before, struct slice text)
{
    char *quoted = malloc(json_quoted_max(text.n));
    if (quoted == NULL)
        abort();
    size_t n = json_quote(quoted, text);
    fputs(before, stdout);
    fwrite(quoted, 1, n, stdout);
    free(quoted);
}

/* ISO 8601 in UTC, to the millisecond; or just the local time of day. */
static struct slice now_text(char *out, size_t room, bool local)
{
    struct timespec now;
    struct tm parts;
    char text[32];
    clock_gettime(CLOCK_REALTIME, &now);
    if (local)
        localtime_r(&now.tv_sec, &parts);
    else
        gmtime_r(&now.tv_sec, &parts);
    strftime(text, sizeof(text), local ? "%H:%M:%S" : "%Y-%m-%dT%H:%M:%S", &parts);
    return slice_make(out, (size_t)snprintf(out, room, "%s.%03d%s", text, (int)(now.tv_nsec / 1000000), local ? "" : "Z"));
}

void output_event(const struct sse_event *event)
{
    char now[48];
    struct slice time = now_text(now, sizeof(now), !output.json);
    if (output.json) {
        put_json("{\"time\":", time);
        put_json(",\"event\":", event->type);
        put_json(",\"id\":", event->id);
        put_json(",\"data\":", event->data);
        puts("}");
        return;
    }
    put_coloured(stdout, output.colour_out, DIM, time);
    fputs("  ", stdout);
    put_coloured(stdout, output.colour_out, BOLD, event->type);
    fputs("  ", stdout);
    put_coloured(stdout, output.colour_out, DIM, event->id);
    fputs("\n  ", stdout);
    put_printable(stdout, event->data, "\n  ");
    putchar('\n');
}

void output_line(struct slice text)
{
    put_printable(stdout, text, NULL);
    putchar('\n');
}

bool output_flush(void)
{
    errno = EIO;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    output.error = output.error == 0 ? errno : output.error;
    return false;
}

int output_lost(void)
{
    if (output.error == EPIPE || output.error == EINTR)
        return 0;
    output_fault("standard output: %s", strerror(output.error));
    return 1;
}

bool output_is_piped(void)
{
    return output.piped;
}

bool output_has_reader(void)
{
    struct pollfd fd = {.fd = STDOUT_FILENO};
    return !output.piped || poll(&fd, 1, 0) <= 0 || (fd.revents & (POLLERR | POLLHUP)) == 0;
}

static void put_sentence(const char *code, const char *format, va_list args)
{
    char *text = NULL;
    int n = vasprintf(&text, format, args);
    if (n < 0)
        abort();
    output_progress_end();
    fputs("sse-cli: ", stderr);
    put_coloured(stderr, output.colour_err, code, slice_make(text, (size_t)n));
    fputc('\n', stderr);
    free(text);
}

void output_note(const char *format, ...)
{
    va_list args;
    if (output.quiet)
        return;
    va_start(args, format);
    put_sentence(YELLOW, format, args);
    va_end(args);
}

void output_fault(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_sentence(RED, format, args);
    va_end(args);
}

void output_progress(const char *format, ...)
{
    va_list args;
    if (output.quiet || !output.watched)
        return;
    fputs("\r\033[K", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    output.progress = true;
    fflush(stderr);
}

void output_progress_end(void)
{
    if (output.progress)
        fputs("\r\033[K", stderr);
    output.progress = false;
}
