#include "runtime/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "runtime/monotonic.h"
#include "runtime/utf8.h"

enum { LINE_MAX_BYTES = 8192, VALUE_MAX_BYTES = 1024 };

static const struct slice line_end[] = {{"\n", 1}, {"}\n", 2}}, cut_end[] = {{" cut=yes\n", 9}, {",\"cut\":\"yes\"}\n", 14}};
enum { END_MAX_BYTES = 16 };

struct line {
    size_t n;
    bool full; /* something did not fit: nothing more is added */
    char text[LINE_MAX_BYTES];
};

static enum log_level threshold = LOG_INFO;
static enum { LOG_TEXT, LOG_JSON } form = LOG_TEXT;
static bool starting;

static const char *const level_names[] = {[LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

static void append(struct line *line, struct slice s)
{
    if (line->full || s.n > sizeof(line->text) - END_MAX_BYTES - line->n) {
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

/* Length of the character at the front that may be printed as it is; 0: its first byte must be escaped. */
static size_t printable(struct slice s)
{
    size_t n = utf8_length(s.p, s.n);
    return utf8_is_control(s.p, n) || s.p[0] == '"' || s.p[0] == '\\' ? 0 : n;
}

/* JSON names a control character by its code point. A byte that is not UTF-8 has none: it is spelt as in the text form. */
static void escape(char *out, size_t size, struct slice s)
{
    unsigned char first = (unsigned char)s.p[0];
    if (form == LOG_TEXT)
        snprintf(out, size, "\\x%02X", first);
    else if (first == '"' || first == '\\')
        snprintf(out, size, "\\%c", first);
    else if (first < 0x80)
        snprintf(out, size, "\\u%04x", first);
    else
        snprintf(out, size, "\\\\x%02X", first);
}

static void append_escaped(struct line *line, struct slice s)
{
    while (s.n != 0) {
        size_t n = printable(s);
        if (n == 0) {
            char text[8];
            escape(text, sizeof(text), s);
            append(line, slice_of(text));
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
    if (form == LOG_TEXT && shown.n == value.n && all_plain(value)) {
        append(line, value);
        return;
    }
    append(line, SLICE("\""));
    append_escaped(line, shown);
    if (shown.n != value.n)
        append(line, SLICE("\xe2\x80\xa6"));
    append(line, SLICE("\""));
}

static void append_key(struct line *line, const char *key)
{
    append(line, form == LOG_TEXT ? SLICE(" ") : SLICE(",\""));
    append(line, slice_of(key));
    append(line, form == LOG_TEXT ? SLICE("=") : SLICE("\":"));
}

static void append_field(struct line *line, const struct log_field *field)
{
    size_t before = line->n;
    append_key(line, field->key);
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
    size_t n = strftime(text, sizeof(text), form == LOG_TEXT ? "time=%Y-%m-%dT%H:%M:%S" : "{\"time\":\"%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof(text) - n, form == LOG_TEXT ? ".%03dZ" : ".%03dZ\"", (int)(now.tv_nsec / 1000000));
    append(line, slice_of(text));
}

/* A log that can't be written is no reason to stop serving. errno stays for the caller. */
static void write_line(struct line *line)
{
    int saved = errno;
    struct slice end = line->full ? cut_end[form] : line_end[form];
    memcpy(line->text + line->n, end.p, end.n);
    if (write(STDERR_FILENO, line->text, line->n + end.n) < 0)
        errno = saved;
}

void log_set_level(enum log_level level)
{
    threshold = level;
}

bool log_wants(enum log_level level)
{
    return level >= threshold;
}

bool log_level_parse(enum log_level *out, const char *text)
{
    for (int i = LOG_DEBUG; i <= LOG_ERROR; ++i) {
        if (strcmp(text, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

const char *log_format_check(const char *value)
{
    return strcmp(value, "text") == 0 || strcmp(value, "json") == 0 ? NULL : "must be text or json";
}

void log_set_format(const char *name)
{
    form = strcmp(name, "json") == 0 ? LOG_JSON : LOG_TEXT;
}

void log_starting(void)
{
    starting = true;
}

void log_write(enum log_level level, const char *msg, const struct log_field *fields)
{
    if (!log_wants(level))
        return;
    struct line line;
    line.n = 0;
    line.full = false;
    append_time(&line);
    append_field(&line, &(struct log_field){.key = "level", .str = slice_of(level_names[level])});
    append_field(&line, &(struct log_field){.key = "program", .str = slice_of(program_invocation_short_name)});
    append_key(&line, "msg");
    append(&line, SLICE("\""));
    append_escaped(&line, slice_of(msg));
    append(&line, SLICE("\""));
    for (++fields; fields->key != NULL; ++fields)
        append_field(&line, fields);
    write_line(&line);
}

bool log_budget_take(struct log_budget *budget, int64_t *left_out)
{
    uint64_t now_ms = monotonic_ms();
    if (now_ms - budget->began_ms >= 1000)
        *budget = (struct log_budget){.began_ms = now_ms, .left_out = budget->left_out};
    if (budget->lines == LOG_BUDGET_LINES) {
        ++budget->left_out;
        return false;
    }
    ++budget->lines;
    *left_out = budget->left_out;
    budget->left_out = 0;
    return true;
}

bool log_allowed(struct log_limit *limit)
{
    uint64_t now_ms = monotonic_ms();
    if (now_ms < limit->next_ms)
        return false;
    limit->next_ms = now_ms + 1000;
    return true;
}

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
    if (starting)
        log_error("cannot start", log_str("why", sentence));
    else
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, sentence);
    exit(1);
}
