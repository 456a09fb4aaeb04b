/* One-line key=value log on stderr: time=… level=… msg="…" and the fields. Any thread may call it; a line is written with one write(2).
 * Values are quoted and escaped here, so bytes from outside can't forge a line. Secrets never go in: mask them before. */
#pragma once

#include <stdint.h>

#include "proto/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *key; /* NULL ends a list */
    enum { LOG_STR, LOG_INT } kind;
    struct slice str;
    int64_t num;
};

/* Lines below `level` are dropped. Call once, before threads start; the default is LOG_INFO. */
void log_set_level(enum log_level level);

/* Reads "debug", "info", "warn" or "error"; false for anything else. */
static inline bool log_level_parse(enum log_level *out, const char *text)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (int i = 0; i < 4; ++i) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* Use the macros. `msg` is a static text without line breaks; `fields` ends with a NULL key, the first item is skipped. */
void log_write(enum log_level level, const char *msg, const struct log_field *fields);

#define LOG_AT(level, msg, ...) log_write(level, msg, (const struct log_field[]){{.key = ""}, ##__VA_ARGS__, {.key = NULL}})
#define log_debug(msg, ...) LOG_AT(LOG_DEBUG, msg, ##__VA_ARGS__)
#define log_info(msg, ...) LOG_AT(LOG_INFO, msg, ##__VA_ARGS__)
#define log_warn(msg, ...) LOG_AT(LOG_WARN, msg, ##__VA_ARGS__)
#define log_error(msg, ...) LOG_AT(LOG_ERROR, msg, ##__VA_ARGS__)

static inline struct log_field log_slice(const char *key, struct slice value)
{
    return (struct log_field){.key = key, .kind = LOG_STR, .str = value};
}

static inline struct log_field log_str(const char *key, const char *value)
{
    return log_slice(key, slice_of(value));
}

static inline struct log_field log_int(const char *key, int64_t value)
{
    return (struct log_field){.key = key, .kind = LOG_INT, .num = value};
}

/* For repeated faults that outsiders can cause: true at most once per second for each `limit`, which starts zeroed. One thread each. */
struct log_limit {
    uint64_t next_ms;
};
bool log_allowed(struct log_limit *limit);

/* Ends a start that cannot succeed: prints "PROGRAM: sentence" on stderr and exits with 1. Never after "ready". */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
