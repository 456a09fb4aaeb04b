#include "runtime/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "runtime/utf8.h"

enum { LINE_MAX_BYTES = 8192, VALUE_MAX_BYTES = 1024 };

#define CUT_LINE " cut=yes\n"

struct line {
    size_t n;
    bool full; /* something did not fit: nothing more is added */
    char text[LINE_MAX_BYTES];
};

static enum log_level threshold = LOG_INFO;

static const char *const level_names[] = {[LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

static void append(struct line *line, struct slice s)
{
    if (line->full || s.n > sizeof(line->text) - sizeof(CUT_LINE) - line->n) {
        line->full = true;
        return;
    }
    memcpy(line->text + line->n, s.p, s.n);
    line->n += s.n;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("._:/@+-", c) != NULL);
}

static bool all_plain(struct slice s)
{
    for (size_t i = 0; i < s.n; ++i)
        if (!is_plain(s.p[i]))
            return false;
    return s.n != 0;
}

/* Length of the character at the front that may be printed as it is; 0: its first byte must be escaped. U+0080 to U+009F are control
 * characters too: a terminal takes U+009B for the start of an escape sequence. */
static size_t printable(struct slice s)
{
    size_t n = utf8_length(s.p, s.n);
    unsigned char first = (unsigned char)s.p[0];
    if (n == 1)
        return first >= 0x20 && first != 0x7f && first != '"' && first != '\\';
    return n == 2 && first == 0xc2 && (unsigned char)s.p[1] < 0xa0 ? 0 : n;
}

static void append_escaped(struct line *line, struct slice s)
{
    while (s.n != 0) {
        size_t n = printable(s);
        if (n == 0) {
            char hex[5];
            snprintf(hex, sizeof(hex), "\\x%02X", (unsigned char)s.p[0]);
            append(line, slice_of(hex));
            n = 1;
        } else {
            append(line, slice_make(s.p, n));
        }
        s = slice_from(s, n);
    }
}

/* At most VALUE_MAX_BYTES of s, not ending within a UTF-8 sequence. */
static struct slice cut(struct slice s)
{
    size_t n = VALUE_MAX_BYTES;
    if (s.n <= n)
        return s;
    while (n > VALUE_MAX_BYTES - 4 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        --n;
    return slice_make(s.p, n);
}

static void append_value(struct line *line, struct slice value)
{
    struct slice shown = cut(value);
    if (shown.n == value.n && all_plain(value)) {
        append(line, value);
        return;
    }
    append(line, SLICE("\""));
    append_escaped(line, shown);
    if (shown.n != value.n)
        append(line, SLICE("\xe2\x80\xa6"));
    append(line, SLICE("\""));
}

static void append_field(struct line *line, const struct log_field *field)
{
    size_t before = line->n;
    append(line, SLICE(" "));
    append(line, slice_of(field->key));
    append(line, SLICE("="));
    if (field->kind == LOG_INT) {
        char digits[24];
        snprintf(digits, sizeof(digits), "%" PRId64, field->num);
        append(line, slice_of(digits));
    } else {
        append_value(line, field->str);
    }
    if (line->full)
        line->n = before;
}

static void append_time(struct line *line)
{
    struct timespec now;
    struct tm tm;
    char text[64];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(text, sizeof(text), "time=%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof(text) - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
    append(line, slice_of(text));
}

/* A log that can't be written is no reason to stop serving. errno stays for the caller. */
static void write_line(struct line *line)
{
    int saved = errno;
    struct slice end = line->full ? SLICE(CUT_LINE) : SLICE("\n");
    memcpy(line->text + line->n, end.p, end.n);
    if (write(STDERR_FILENO, line->text, line->n + end.n) < 0)
        errno = saved;
    errno = saved;
}

void log_set_level(enum log_level level)
{
    threshold = level;
}

void log_write(enum log_level level, const char *msg, const struct log_field *fields)
{
    if (level < threshold)
        return;
    struct line line;
    line.n = 0;
    line.full = false;
    append_time(&line);
    append_field(&line, &(struct log_field){.key = "level", .str = slice_of(level_names[level])});
    append_field(&line, &(struct log_field){.key = "program", .str = slice_of(program_invocation_short_name)});
    append(&line, SLICE(" msg=\""));
    append_escaped(&line, slice_of(msg));
    append(&line, SLICE("\""));
    for (++fields; fields->key != NULL; ++fields)
        append_field(&line, fields);
    write_line(&line);
}

bool log_allowed(struct log_limit *limit)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (now_ms < limit->next_ms)
        return false;
    limit->next_ms = now_ms + 1000;
    return true;
}

/* Quotes stay as they are here: this line is for people and has no fields. */
void die(const char *format, ...)
{
    char sentence[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    for (char *c = sentence; *c != '\0'; ++c)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, sentence);
    exit(1);
}
